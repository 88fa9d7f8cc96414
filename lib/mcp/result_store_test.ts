import { assertEquals } from "@std/assert";
import { ResultStore, resultUri } from "./result_store.ts";

Deno.test("ResultStore finds results by URI, whatever their names contain", () => {
  const store = new ResultStore();
  const name = "outputs/a b/%2f?#é/../x";
  const data = new Uint8Array([1]);
  store.add("job_a", new Map([["stdout", new Uint8Array()], [name, data]]));
  const uri = resultUri("job_a", name);
  assertEquals(uri, "plasm://jobs/job_a/outputs/a%20b/%252f%3F%23%C3%A9/../x");
  assertEquals(store.get(uri), { uri, name, data });
  const others = [
    ...["plasm://jobs/job_b/stdout", "plasm://jobs/job_a/none", "plasm://jobs/job_a"],
    ...["plasm://jobs/job_a/%", "file:///etc/passwd"],
  ];
  for (const other of others) assertEquals(store.get(other), undefined);
});

Deno.test("ResultStore removes the oldest jobs beyond its limit", () => {
  const store = new ResultStore({ maxBytes: 10 });
  for (const id of ["a", "b", "c"]) store.add(id, new Map([["stdout", new Uint8Array(4)]]));
  assertEquals([...store.list()].map(({ uri }) => uri), [
    "plasm://jobs/b/stdout",
    "plasm://jobs/c/stdout",
  ]);
  store.add("large", new Map([["stdout", new Uint8Array(11)]]));
  assertEquals([...store.list()], []);
});
