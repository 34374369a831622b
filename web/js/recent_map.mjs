/** A map of limited size that forgets what was not used for longest. */

/** @template Key, Value */
export class RecentMap {
  /** @param {number} limit how many entries are kept */
  constructor(limit) {
    this.limit = limit;
    /** @type {Map<Key, Value>} The least recently used entry first. */
    this.entries = new Map();
  }

  get size() {
    return this.entries.size;
  }

  /** @param {Key} key @returns {Value | undefined} */
  get(key) {
    const value = this.entries.get(key);
    if (value !== undefined) this.set(key, value);
    return value;
  }

  /** @param {Key} key @param {Value} value */
  set(key, value) {
    this.entries.delete(key);
    this.entries.set(key, value);
    for (const oldest of this.entries.keys()) {
      if (this.entries.size <= this.limit) break;
      this.entries.delete(oldest);
    }
  }

  /** @param {Key} key */
  delete(key) {
    this.entries.delete(key);
  }
}
