/** As much of litegraph as our modules use. */
export class Graph {
  constructor(id = "root") {
    Object.assign(this, { id, nodes: [], rootGraph: this, subgraphs: new Map() });
  }

  get links() {
    const into = (node) =>
      node.inputs.map(
        ({ from }, slot) => from && { origin_id: from[0], origin_slot: from[1], target_id: node.id, target_slot: slot },
      );
    return new Map(
      this.nodes
        .flatMap(into)
        .filter(Boolean)
        .map((link, index) => [index, link]),
    );
  }

  getNodeById(id) {
    return this.nodes.find((node) => node.id === id);
  }

  add(type, { inputs = [], outputs = ["IMAGE"], widgets = {}, ...rest } = {}) {
    const graph = this;
    const node = {
      id: this.nodes.length + 1,
      type,
      mode: 0,
      graph,
      inputs: inputs.map(([name, link, kind = "IMAGE"]) => ({ name, type: kind, from: link })),
      outputs: outputs.map((kind) => ({ type: kind })),
      widgets: Object.entries(widgets).map(([name, value]) => ({ name, value })),
      getInputLink(slot) {
        const from = this.inputs[slot]?.from;
        return from ? { origin_id: from[0], origin_slot: from[1] } : null;
      },
      ...rest,
    };
    this.nodes.push(node);
    return node;
  }

  load(image) {
    return this.add("LoadImage", { outputs: ["IMAGE", "MASK"], widgets: { image } });
  }
}
