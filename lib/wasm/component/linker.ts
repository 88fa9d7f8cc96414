/**
 * Links a decoded component: evaluates its definitions to a plan, and checks what it imports.
 *
 * Everything about the linking of a component is known before it runs, so that a component that cannot run is refused
 * before a process is started for it.
 *
 * @module
 */
import { badModule, quoteName } from "../reader.ts";
import type {
  Alias,
  CanonicalOptions,
  Component,
  CoreSort,
  Definition,
  ExternDescription,
  NamedReference,
  Sort,
} from "./definitions.ts";
import { type CoreEntity, CoreModules } from "./core_modules.ts";
import {
  type Entity,
  entityOf,
  type InstanceEntity,
  type Resolver,
  Scope,
  type TypeEntity,
} from "./scopes.ts";
import type {
  ComponentPlan,
  DestructorPlan,
  LiftedFunction,
  LinkedComponent,
  LinkedOptions,
} from "./plan.ts";
import {
  coreSignature,
  type FunctionType,
  type ResourceType,
  TypeResolver,
} from "./value_types.ts";
import { isDenied, resourceText, wasiFunctionType, wasiInterface } from "./wasi_functions.ts";
import { refuseImports, type UnsupportedImport } from "./refusals.ts";
import type { InspectLimits } from "../inspect.ts";

/** Most definitions that are evaluated: components that instantiate others evaluate theirs each time. */
const MAX_EVALUATED = 200_000;

/** Most component instances. */
const MAX_COMPONENT_INSTANCES = 1000;

/** Type of the function that runs a command. */
const RUN_TYPE = "() -> result";

/** Links a component. */
export function linkComponent(
  bytes: Uint8Array,
  component: Component,
  limits: InspectLimits,
): LinkedComponent {
  return new Linker(bytes, limits).link(component);
}

/** A component with the scope in which it is defined. */
interface ComponentEntity {
  component: Component;
  scope: ComponentScope | undefined;
}

/** Index spaces of a component instance. */
class ComponentScope extends Scope {
  readonly coreModules: number[] = [];
  readonly coreInstances: Map<string, CoreEntity>[] = [];
  readonly coreItems: Record<Exclude<CoreSort, "type" | "module" | "instance">, CoreEntity[]> = {
    func: [],
    table: [],
    memory: [],
    global: [],
    tag: [],
  };
  readonly functions: Extract<Entity, { sort: "func" }>[] = [];
  readonly components: ComponentEntity[] = [];
  readonly exports: InstanceEntity["exports"] = new Map();

  constructor(readonly instance: number, readonly outer: ComponentScope | undefined) {
    super(outer);
  }
}

/** Kinds of external values of core modules, by sort. */
const KINDS = {
  func: "function",
  table: "table",
  memory: "memory",
  global: "global",
  tag: "tag",
} as const;

class Linker implements Resolver {
  readonly types: TypeResolver = new TypeResolver();
  readonly #modules: CoreModules;
  readonly #resources = new Map<string, ResourceType>();
  readonly #destructors: DestructorPlan[] = [];
  readonly #unsupported = new Map<string, UnsupportedImport>();
  #resourceCount = 0;
  #componentInstances = 0;
  #evaluated = 0;

  constructor(bytes: Uint8Array, limits: InspectLimits) {
    this.#modules = new CoreModules(bytes, limits);
  }

  link(component: Component): LinkedComponent {
    const { exports } = this.#instantiate({ component, scope: undefined }, undefined);
    if (this.#unsupported.size > 0) throw refuseImports([...this.#unsupported.values()]);
    const functions: Record<string, LiftedFunction> = Object.create(null);
    let command: string | undefined;
    for (const [name, entity] of exports) {
      if (entity.sort === "func" && entity.func.kind === "lift") functions[name] = entity.func;
      if (entity.sort !== "instance") continue;
      for (const [inner, { sort, ...found }] of entity.instance.exports) {
        if (sort !== "func" || !("func" in found) || found.func.kind !== "lift") continue;
        functions[`${name}#${inner}`] = found.func;
        const isRun = wasiInterface(name) === "wasi:cli/run" && inner === "run";
        if (isRun && found.func.type.text === RUN_TYPE) command = `${name}#${inner}`;
      }
    }
    const plan: ComponentPlan = {
      instances: this.#modules.instances,
      componentInstances: this.#componentInstances,
      destructors: this.#destructors,
      functions,
      command,
    };
    return {
      modules: this.#modules.spans,
      sizes: this.#modules.inspected,
      plan,
      exports: [...exports.keys()],
    };
  }

  /** Creates a component instance; without arguments, its imports are the host's. */
  #instantiate(
    { component, scope: outer }: ComponentEntity,
    args: ReadonlyMap<string, Entity> | undefined,
  ): InstanceEntity {
    const instance = this.#componentInstances++;
    if (instance >= MAX_COMPONENT_INSTANCES) {
      throw badModule(`it has more than ${MAX_COMPONENT_INSTANCES} component instances`, {
        details: { allowed: MAX_COMPONENT_INSTANCES },
      });
    }
    const scope = new ComponentScope(instance, outer);
    for (const definition of component.definitions) {
      this.spend();
      this.#define(scope, definition, args);
    }
    return { exports: scope.exports };
  }

  spend(): void {
    if (++this.#evaluated <= MAX_EVALUATED) return;
    throw badModule(`it evaluates more than ${MAX_EVALUATED} definitions`, {
      details: { allowed: MAX_EVALUATED },
    });
  }

  #define(
    scope: ComponentScope,
    definition: Definition,
    args: ReadonlyMap<string, Entity> | undefined,
  ): void {
    switch (definition.kind) {
      case "core module":
        scope.coreModules.push(this.#modules.add(definition));
        return;
      case "core instance": {
        const module = entityOf(scope.coreModules, definition.module, "core module");
        const instances = new Map(
          definition.args.map(({ name, instance }) =>
            [name, entityOf(scope.coreInstances, instance, "core instance")] as const
          ),
        );
        scope.coreInstances.push(this.#modules.instantiate(module, instances));
        return;
      }
      case "core exports":
        scope.coreInstances.push(
          new Map(
            definition.exports.map(({ name, sort, index }) =>
              [name, this.#coreItem(scope, sort, index)] as const
            ),
          ),
        );
        return;
      case "core type":
        return;
      case "component":
        scope.components.push({ component: definition.component, scope });
        return;
      case "instance": {
        const component = entityOf(scope.components, definition.component, "component");
        const given = new Map(
          definition.args.map((reference) =>
            [reference.name, this.#entity(scope, reference)] as const
          ),
        );
        scope.instances.push(this.#instantiate(component, given));
        return;
      }
      case "exports":
        scope.instances.push({
          exports: new Map(
            definition.exports.map((reference) =>
              [reference.name, this.#entity(scope, reference)] as const
            ),
          ),
        });
        return;
      case "export alias":
      case "core export alias":
      case "outer alias":
        this.#alias(scope, definition);
        return;
      case "type":
        scope.types.push(this.#type(scope, definition.type));
        return;
      case "lift":
        this.#push(scope, { sort: "func", func: this.#lift(scope, definition) });
        return;
      case "lower":
        scope.coreItems.func.push(this.#lower(scope, definition));
        return;
      case "resource.new":
      case "resource.drop":
      case "resource.rep":
        scope.coreItems.func.push(this.#resourceFunction(scope, definition));
        return;
      case "import": {
        const { name, description } = definition;
        this.#push(
          scope,
          args === undefined
            ? this.#hostEntity(scope, name, description)
            : this.#argument(scope, { name, description, args }),
        );
        return;
      }
      case "export": {
        const entity = this.#entity(scope, definition);
        if (scope.exports.has(definition.name)) {
          throw badModule(`it exports ${quoteName(definition.name)} twice`);
        }
        scope.exports.set(definition.name, entity);
        this.#push(scope, entity);
        return;
      }
    }
  }

  /** Adds an entity to the index space of its sort. */
  #push(scope: ComponentScope, entity: Entity): void {
    if (entity.sort === "func") scope.functions.push(entity);
    else if (entity.sort === "type") scope.types.push(entity.type);
    else if (entity.sort === "instance") scope.instances.push(entity.instance);
    else if (entity.sort === "component") {
      scope.components.push(entity.component as ComponentEntity);
    } else scope.coreModules.push(entity.module);
  }

  /** Entity of an index space. */
  #entity(scope: ComponentScope, { sort, index }: Omit<NamedReference<Sort>, "name">): Entity {
    if (sort === "func") return entityOf(scope.functions, index, "function");
    if (sort === "type") return { sort, type: entityOf(scope.types, index, "type") };
    if (sort === "instance") {
      return { sort, instance: entityOf(scope.instances, index, "instance") };
    }
    if (sort === "component") {
      return { sort, component: entityOf(scope.components, index, "component") };
    }
    return { sort, module: entityOf(scope.coreModules, index, "core module") };
  }

  #coreItem(scope: ComponentScope, sort: CoreSort, index: number): CoreEntity {
    if (sort === "type" || sort === "module" || sort === "instance") {
      throw badModule(`its core instance exports a ${sort}`);
    }
    return entityOf(scope.coreItems[sort], index, `core ${KINDS[sort]}`);
  }

  #alias(scope: ComponentScope, alias: Alias): void {
    if (alias.kind === "core export alias") {
      const { sort, instance, name } = alias;
      if (sort === "type" || sort === "module" || sort === "instance") {
        throw badModule(`it has an alias of a core ${sort} of a core instance`);
      }
      const exports = entityOf(scope.coreInstances, instance, "core instance");
      const found = exports.get(name);
      if (found?.kind !== KINDS[sort]) {
        throw badModule(`its core instance ${instance} has no ${KINDS[sort]} ${quoteName(name)}`);
      }
      scope.coreItems[sort].push(found);
      return;
    }
    if (alias.kind === "export alias") {
      this.#push(scope, scope.exportOf(alias));
      return;
    }
    const { sort, levels, index } = alias;
    if (sort === "core type") return;
    let from: ComponentScope | undefined = scope;
    for (let left = levels; left > 0; left--) from = from?.outer;
    if (from === undefined) throw badModule(`it has an alias of ${levels} levels outside`);
    this.#push(scope, this.#entity(from, { sort, index }));
  }

  #type(scope: ComponentScope, node: Extract<Definition, { kind: "type" }>["type"]): TypeEntity {
    if (node.kind !== "resource") return scope.resolve(node, this);
    const resource = {
      id: this.#resourceCount++,
      text: `#${this.#resourceCount}`,
      isHost: false,
      owner: scope.instance,
    };
    if (node.destructor !== undefined) {
      const core = entityOf(scope.coreItems.func, node.destructor, "core function");
      expectSignature(core, "i32 ->", "the destructor of a resource");
      this.#destructors.push({ resource: resource.id, core: core.item });
    }
    return { kind: "resource", resource };
  }

  #options(scope: ComponentScope, options: CanonicalOptions): LinkedOptions {
    const { encoding, memory, realloc, postReturn } = options;
    const func = (index: number | undefined) =>
      index === undefined ? undefined : entityOf(scope.coreItems.func, index, "core function");
    const allocator = func(realloc);
    if (allocator !== undefined) {
      expectSignature(allocator, "i32 i32 i32 i32 -> i32", "the function that allocates");
    }
    return {
      encoding,
      memory: memory === undefined
        ? undefined
        : entityOf(scope.coreItems.memory, memory, "core memory").item,
      realloc: allocator?.item,
      postReturn: func(postReturn)?.item,
    };
  }

  #lift(
    scope: ComponentScope,
    { func, options, type }: Extract<Definition, { kind: "lift" }>,
  ): LiftedFunction {
    const found = entityOf(scope.types, type, "type");
    if (found.kind !== "func") {
      throw badModule(`it lifts a function to type ${type}, which is none`);
    }
    const core = entityOf(scope.coreItems.func, func, "core function");
    const signature = coreSignature(found.type, "lift");
    expectSignature(core, signature, `function ${func}`);
    if (options.postReturn !== undefined) {
      const cleanup = entityOf(scope.coreItems.func, options.postReturn, "core function");
      const [, result = ""] = signature.split("->");
      expectSignature(
        cleanup,
        `${result.trim()} ->`.trimStart(),
        `the cleanup of function ${func}`,
      );
    }
    const linked = this.#options(scope, options);
    checkOptions(found.type, linked, { direction: "lift" });
    return {
      kind: "lift",
      core: core.item,
      options: linked,
      type: found.type,
      callee: scope.instance,
    };
  }

  #lower(
    scope: ComponentScope,
    { func, options }: Extract<Definition, { kind: "lower" }>,
  ): CoreEntity {
    const lowered = entityOf(scope.functions, func, "function").func;
    if (lowered.kind === "host") this.#checkHost(lowered);
    const linked = this.#options(scope, options);
    checkOptions(lowered.type, linked, { direction: "lower" });
    return {
      kind: "function",
      signature: coreSignature(lowered.type, "lower"),
      item: { kind: "lower", func: lowered, options: linked, caller: scope.instance },
    };
  }

  /** Records a function of the host that WASI 0.2 does not define so. */
  #checkHost(
    { interfaceName, name, type }: { interfaceName: string; name: string; type: FunctionType },
  ): void {
    if (isDenied(interfaceName)) return;
    const wanted = wasiFunctionType(interfaceName, name);
    if (wanted === type.text) return;
    this.#unsupported.set(`${interfaceName}#${name}`, {
      interfaceName,
      name,
      found: type.text,
      wanted,
    });
  }

  #resourceFunction(
    scope: ComponentScope,
    { kind, type }: { kind: "resource.new" | "resource.drop" | "resource.rep"; type: number },
  ): CoreEntity {
    const resource = scope.resource(type);
    if (kind !== "resource.drop" && resource.owner !== scope.instance) {
      throw badModule(`it uses ${kind} with a resource that it does not define`);
    }
    return {
      kind: "function",
      signature: kind === "resource.drop" ? "i32 ->" : "i32 -> i32",
      item: { kind, resource, caller: scope.instance },
    };
  }

  /** Entity that the host provides for an import. */
  #hostEntity(scope: ComponentScope, name: string, description: ExternDescription): Entity {
    const interfaceName = wasiInterface(name) ?? name;
    const host = (inner: string, type: FunctionType): Entity => ({
      sort: "func",
      func: { kind: "host", interfaceName, name: inner, type },
    });
    if (description.sort === "func") {
      const type = entityOf(scope.types, description.type, "type");
      if (type.kind !== "func") {
        throw badModule(`its import ${quoteName(name)} has no function type`);
      }
      return { sort: "func", func: { kind: "host", interfaceName: "", name, type: type.type } };
    }
    if (description.sort === "type") {
      if (description.equals !== undefined) {
        return { sort: "type", type: entityOf(scope.types, description.equals, "type") };
      }
      return { sort: "type", type: this.#hostResource("", name) };
    }
    if (description.sort !== "instance") {
      throw badModule(
        `it imports the ${description.sort} ${quoteName(name)}, which no host provides`,
        {
          hint: "Compose it with a component that exports it: wac plug",
        },
      );
    }
    const type = entityOf(scope.types, description.type, "type");
    if (type.kind !== "instance") {
      throw badModule(`its import ${quoteName(name)} has no instance type`);
    }
    return {
      sort: "instance",
      instance: type.declare(this, {
        resource: (inner) => this.#hostResource(interfaceName, inner),
        func: host,
      }),
    };
  }

  #hostResource(interfaceName: string, name: string): TypeEntity {
    const text = resourceText(interfaceName, name);
    let resource = this.#resources.get(text);
    if (resource === undefined) {
      resource = { id: this.#resourceCount++, text, isHost: true, owner: undefined };
      this.#resources.set(text, resource);
    }
    return { kind: "resource", resource };
  }

  /** Argument for an import of a component that another one instantiates. */
  #argument(
    scope: ComponentScope,
    { name, description, args }: {
      name: string;
      description: ExternDescription;
      args: ReadonlyMap<string, Entity>;
    },
  ): Entity {
    const { sort } = description;
    const given = args.get(name);
    if (given === undefined && sort === "type" && description.equals !== undefined) {
      return { sort, type: entityOf(scope.types, description.equals, "type") };
    }
    if (given?.sort !== sort) {
      throw badModule(`it instantiates a component without the ${sort} ${quoteName(name)}`);
    }
    if (given.sort === "func") {
      const type = entityOf(scope.types, (description as { type: number }).type, "type");
      if (type.kind !== "func" || type.type.text !== given.func.type.text) {
        throw badModule(`it instantiates a component with another type of ${quoteName(name)}`);
      }
    }
    if (given.sort === "instance") {
      const type = entityOf(scope.types, (description as { type: number }).type, "type");
      if (type.kind !== "instance") {
        throw badModule(`its import ${quoteName(name)} has no instance type`);
      }
      return { sort: "instance", instance: type.match(this, given.instance) };
    }
    return given;
  }
}

/** Refuses options without what a function's types need. */
function checkOptions(
  type: FunctionType,
  { memory, realloc }: LinkedOptions,
  { direction }: { direction: "lift" | "lower" },
): void {
  const parameters = type.parameters.some(hasPointers);
  const results = type.result !== undefined && hasPointers(type.result);
  const flat = type.parameters.reduce((sum, { flat }) => sum + flat.length, 0);
  const spills = flat > 16 || (type.result?.flat.length ?? 0) > 1;
  if (memory === undefined && (parameters || results || spills)) {
    throw badModule(`it has a function of type ${quoteName(type.text)} without a memory`);
  }
  const allocates = direction === "lift" ? parameters || flat > 16 : results;
  if (realloc === undefined && allocates) {
    throw badModule(`it has a function of type ${quoteName(type.text)} without realloc`);
  }
}

/** Whether a value has strings or lists. */
function hasPointers(type: FunctionType["parameters"][number]): boolean {
  return /\b(?:string|list<)/.test(type.text);
}

function expectSignature(
  { kind, signature }: CoreEntity,
  wanted: string,
  what: string,
): void {
  if (kind === "function" && signature === wanted) return;
  throw badModule(`${what} has core type (${signature}), its component type needs (${wanted})`, {
    hint: "The file is damaged; build it again",
    details: { found: signature ?? null, wanted },
  });
}
