/**
 * A map of limited size that forgets what was not used for longest.
 * @template Key, Value
 * @extends {Map<Key, Value>}
 */
export class RecentMap extends Map {
  /** @param {number} limit how many entries are kept */
  constructor(limit) {
    super();
    this.limit = limit;
  }

  /** @param {Key} key */
  get(key) {
    const value = super.get(key);
    if (value !== undefined) this.set(key, value);
    return value;
  }

  /** @param {Key} key @param {Value} value */
  set(key, value) {
    this.delete(key);
    super.set(key, value);
    for (const oldest of this.keys()) if (this.size > this.limit) this.delete(oldest);
    return this;
  }
}
