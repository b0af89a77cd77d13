// The API's description, made from /v2/openapi.json. Text only ever becomes text: no innerHTML.

const state = document.getElementById("state");
const main = document.getElementById("main");
const contents = document.getElementById("contents");

/** An element with attributes and children (strings or elements). */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.flat().filter((child) => child != null));
  return element;
}

/** Text whose `quoted` pieces are code. */
function prose(text = "") {
  return text.split("`").map((piece, at) => (at % 2 ? make("code", {}, piece) : piece));
}

/** What a $ref leads to. */
function follow(spec, part) {
  if (!part?.$ref) return part;
  return part.$ref.slice(2).split("/").reduce((at, name) => at[name], spec);
}

/** A schema in a few words: "array of string", "string or null". */
function kind(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(kind).join(" or ");
  if (schema.type === "array") return `array of ${kind(schema.items)}`;
  return schema.type ?? "any JSON";
}

/** The members of a schema, and below them those of the schemas that it names, each once. */
function schemaTable(spec, schema, above = []) {
  const found = follow(spec, schema);
  if (!found?.properties) return make("p", {}, prose(found?.description ?? kind(schema)));
  const required = new Set(found.required ?? []);
  const rows = Object.entries(found.properties).map(([name, member]) =>
    make("tr", {},
      make("td", {}, make("code", {}, name), required.has(name) ? make("b", { title: "required" }, " *") : null),
      make("td", {}, make("code", {}, kind(member))),
      make("td", {}, prose(member.description ?? follow(spec, member)?.description ?? ""))));
  const shown = [...above, schema.$ref, "#/components/schemas/Problem"];
  const nested = Object.values(found.properties).flatMap(references).filter((ref) => !shown.includes(ref));
  return make("div", {},
    found.description ? make("p", {}, prose(found.description)) : null,
    make("table", {}, make("tbody", {}, rows)),
    [...new Set(nested)].map((ref) =>
      make("details", { open: "" }, make("summary", {}, ref.split("/").pop()), schemaTable(spec, { $ref: ref }, shown))));
}

/** The $refs in a member's schema. */
function references(schema) {
  if (schema.$ref) return [schema.$ref];
  return [...(schema.anyOf ?? []), ...(schema.items ? [schema.items] : [])].flatMap(references);
}

function curl(path, method, operation) {
  const filled = path.replace(/\{(\w+)\}/g, (_, name) => name.toUpperCase());
  const parts = [`curl -X ${method.toUpperCase()} '${location.origin}${filled}${query(operation)}'`];
  if (operation.security?.length !== 0) parts.push("-H \"Authorization: Bearer $TOKEN\"");
  const example = operation.requestBody?.content["application/json"]?.example;
  if (example) parts.push(`-d '${JSON.stringify(example)}'`);
  return parts.join(" \\\n  ");
}

function query(operation) {
  const needed = (operation.parameters ?? []).filter((parameter) => parameter.in === "query" && parameter.required);
  const value = (name) => (name === "key" ? "u1@user" : name.toUpperCase());
  return needed.length ? `?${needed.map(({ name }) => `${name}=${value(name)}`).join("&")}` : "";
}

function parameters(operation) {
  return [["Path", "path"], ["Query", "query"]].flatMap(([title, place]) => {
    const rows = (operation.parameters ?? []).filter((parameter) => parameter.in === place).map((parameter) =>
      make("tr", {},
        make("td", {}, make("code", {}, parameter.name),
          parameter.required ? make("b", { title: "required" }, " *") : null),
        make("td", {}, make("code", {}, kind(parameter.schema))),
        make("td", {}, prose(parameter.description))));
    return rows.length ? [make("h3", {}, title), make("table", {}, make("tbody", {}, rows))] : [];
  });
}

function body(spec, operation) {
  if (!operation.requestBody) return [];
  return Object.entries(operation.requestBody.content).flatMap(([media, content]) =>
    [make("h3", {}, "Body ", make("small", {}, media)), schemaTable(spec, content.schema)]);
}

function answers(spec, operation) {
  return Object.entries(operation.responses).map(([status, response]) => {
    const said = follow(spec, response);
    const [media, content] = Object.entries(said.content ?? {})[0] ?? [];
    const good = status.startsWith("2");
    const line = [make("code", { class: good ? "good" : "bad" }, status), ` ${said.description}`];
    if (!good || !media) return make("p", { class: "answer" }, line);
    return make("details", { open: "" },
      make("summary", {}, line, make("small", {}, ` ${media}`)), schemaTable(spec, content.schema));
  });
}

/** One heading for each thing that can be asked for: "/push", "/users". */
function topic(path) {
  const name = `/${path.split("/")[2]}`;
  const last = contents.lastElementChild?.dataset.topic;
  if (last === name) return contents.lastElementChild.querySelector("ul");
  const list = make("ul");
  contents.append(make("li", { "data-topic": name }, make("h2", {}, name), list));
  return list;
}

function section(spec, path, method, operation) {
  const title = make("h2", {}, make("span", { class: `method ${method}` }, method.toUpperCase()), ` ${path}`);
  topic(path).append(make("li", {}, make("a", { href: `#${operation.operationId}`, title: `${method.toUpperCase()} ${path}` },
    make("span", { class: `method ${method}` }, method.toUpperCase()), ` ${operation.summary}`)));
  return make("section", { id: operation.operationId },
    title, make("p", { class: "summary" }, operation.summary), make("p", {}, prose(operation.description)),
    make("pre", { tabindex: "0" }, make("code", {}, curl(path, method, operation))),
    parameters(operation), body(spec, operation), make("h3", {}, "Answers"), answers(spec, operation));
}

function problems(spec) {
  contents.append(make("li", {}, make("a", { href: "#problems" }, "Problems")));
  const rows = spec["x-problems"].map((problem) =>
    make("tr", { id: problem.code },
      make("td", {}, make("code", {}, problem.code)), make("td", {}, String(problem.status)),
      make("td", {}, prose(problem.description))));
  return make("section", { id: "problems" }, make("h2", {}, "Problems"),
    make("p", {}, "What the ", make("code", {}, "code"), " of a problem document means."),
    make("table", {}, make("tbody", {}, rows)));
}

async function show() {
  const response = await fetch("/v2/openapi.json");
  if (!response.ok) throw new Error(`status ${response.status}`);
  const spec = await response.json();
  const paths = [...Map.groupBy(Object.entries(spec.paths), ([path]) => path.split("/")[2]).values()].flat();
  const operations = paths.flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => section(spec, path, method, operation)));
  const paragraphs = spec.info.description.trim().split("\n\n").map((text) => make("p", {}, prose(text)));
  main.replaceChildren(make("section", { id: "introduction" }, paragraphs), ...operations, problems(spec));
  main.removeAttribute("aria-busy");
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}

show().catch((error) => {
  state.textContent = `The document could not be read: ${error.message}.`;
  main.removeAttribute("aria-busy");
});
