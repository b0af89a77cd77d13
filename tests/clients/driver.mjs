// Runs the JavaScript client for a test: options as JSON in the argument, one line of JSON on stdout
// per event, commands as lines of JSON on stdin: {"acknowledge": mid} or {"close": true}.
import { createInterface } from "node:readline";

const [module, key, options] = process.argv.slice(2);
const { subscribe } = await import(module);
const say = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

const kept = new Map(Object.entries(options ? JSON.parse(options).kept ?? {} : {}));
const storage = {
  getItem: (name) => kept.get(name) ?? null,
  setItem: (name, value) => {
    kept.set(name, value);
    say({ kept: [name, value] });
  },
};
const subscription = subscribe(key, {
  ...JSON.parse(options),
  storage,
  onMessage: ({ mid, msg, live }) => say({ mid, msg, ...(live && { live }) }),
  onState: (state) => say(state),
});
createInterface({ input: process.stdin }).on("line", (line) => {
  const { acknowledge, close } = JSON.parse(line);
  if (acknowledge) subscription.acknowledge(acknowledge);
  if (close) {
    subscription.close();
    process.stdin.destroy();
  }
});
