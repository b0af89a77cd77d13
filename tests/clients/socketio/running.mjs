// Conversations that run at the same time, and a line of JSON for each that is over.

const DEADLINE = 30_000; // ms: for one conversation, on a busy machine

export async function run(conversations) {
  await Promise.all(Object.entries(conversations).map(([name, converse]) => one(name, converse)));
  process.exit(0); // whatever a client still waits for
}

async function one(name, converse) {
  const late = new Promise((_, reject) => {
    setTimeout(() => reject(new Error("no answer")), DEADLINE);
  });
  let error = "";
  try {
    await Promise.race([converse(), late]);
  } catch (caught) {
    error = String(caught?.stack ?? caught);
  }
  await new Promise((resolve) => process.stdout.write(JSON.stringify({ name, error }) + "\n", resolve));
}

// From now on an engine says nothing, and does not miss that it hears nothing: only the server can end it.
export function strikeDumb(engine) {
  engine.transport.send = () => {};
  engine.off("heartbeat"); // 3: what it heard, and when to expect more
  for (const name of ["onHeartbeat", "resetPingTimeout", "_resetPingTimeout"]) engine[name] = () => {};
  for (const name of ["pingTimeoutTimer", "_pingTimeoutTimer"]) clearTimeout(engine[name]);
}
