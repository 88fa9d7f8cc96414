/**
 * Evaluates the types of a component in their scopes.
 *
 * @module
 */
import { badModule, quoteName } from "../reader.ts";
import type { Alias, Declaration, Sort, TypeNode } from "./definitions.ts";
import type { ComponentFunction } from "./plan.ts";
import type {
  FunctionType,
  ResourceType,
  TypeResolver,
  TypeScope,
  ValueType,
} from "./value_types.ts";

/** Something that a component defines, imports or exports. */
export type Entity =
  | { sort: "func"; func: ComponentFunction }
  | { sort: "type"; type: TypeEntity }
  | { sort: "instance"; instance: InstanceEntity }
  | { sort: "component"; component: unknown }
  | { sort: "core module"; module: number };

/** A component instance. */
export interface InstanceEntity {
  /** Its exports, by name. */
  exports: Map<string, Entity>;
}

/** A type. */
export type TypeEntity =
  | { kind: "value"; type: ValueType }
  | { kind: "func"; type: FunctionType }
  | { kind: "resource"; resource: ResourceType }
  | InstanceType
  | { kind: "component" };

/** What types are evaluated with. */
export interface Resolver {
  /** Resolves value types. */
  readonly types: TypeResolver;
  /** Counts one evaluated definition. */
  spend(): void;
}

/** Creates what an instance type declares. */
export interface InstanceMaker {
  /** Returns the resource of a name. */
  resource(name: string): TypeEntity;
  /** Returns the function of a name. */
  func(name: string, type: FunctionType): Entity;
}

/** Returns an entity of an index space. */
export function entityOf<Item>(space: readonly Item[], index: number, what: string): Item {
  if (index < space.length) return space[index]!;
  throw badModule(`it refers to ${what} ${index}, but has ${space.length}`, {
    hint: "The file is damaged; build it again",
    details: { index, count: space.length },
  });
}

/** Index spaces of types and instances. */
export class Scope implements TypeScope {
  /** Types. */
  readonly types: TypeEntity[] = [];
  /** Instances. */
  readonly instances: InstanceEntity[] = [];
  /** The scope around this one. */
  readonly parent: Scope | undefined;

  constructor(parent: Scope | undefined) {
    this.parent = parent;
  }

  value(index: number): ValueType {
    const found = entityOf(this.types, index, "type");
    if (found.kind === "value") return found.type;
    throw badModule(`its type ${index} is not the type of a value`);
  }

  resource(index: number): ResourceType {
    const found = entityOf(this.types, index, "type");
    if (found.kind === "resource") return found.resource;
    throw badModule(`its type ${index} is not a resource`);
  }

  /** Resolves a type definition other than a resource. */
  resolve(node: TypeNode, resolver: Resolver): TypeEntity {
    if (node.kind === "func") return { kind: "func", type: resolver.types.func(node, this) };
    if (node.kind === "instance") return new InstanceType(node.declarations, this);
    if (node.kind === "component") return { kind: "component" };
    const type = resolver.types.value(node, this);
    if (type === undefined) throw badModule("it defines a resource in a type");
    return { kind: "value", type };
  }

  /** Export of an instance that an alias names. */
  exportOf({ sort, instance, name }: Extract<Alias, { kind: "export alias" }>): Entity {
    const found = entityOf(this.instances, instance, "instance").exports.get(name);
    if (found?.sort === sort) return found;
    throw badModule(`its instance ${instance} has no ${sort} ${quoteName(name)}`);
  }

  /** Type of a scope around this one. */
  outerType(levels: number, sort: Sort | "core type", index: number): Entity {
    if (levels > 0) {
      if (this.parent !== undefined) return this.parent.outerType(levels - 1, sort, index);
      throw badModule(`it has an alias of ${levels} levels outside`);
    }
    if (sort === "type") return { sort, type: entityOf(this.types, index, "type") };
    throw badModule(`it has an outer alias of a ${sort} in a type`);
  }
}

/** An instance type, which is evaluated for each instance that must have it. */
class InstanceType {
  /** Discriminant of {@linkcode TypeEntity}. */
  readonly kind = "instance";
  readonly #declarations: readonly Declaration[];
  readonly #scope: Scope;

  constructor(declarations: readonly Declaration[], scope: Scope) {
    this.#declarations = declarations;
    this.#scope = scope;
  }

  /** Creates an instance of this type. */
  declare(resolver: Resolver, maker: InstanceMaker): InstanceEntity {
    const scope = new Scope(this.#scope);
    const exports: InstanceEntity["exports"] = new Map();
    for (const declaration of this.#declarations) {
      resolver.spend();
      switch (declaration.kind) {
        case "core type":
          break;
        case "type":
          scope.types.push(scope.resolve(declaration.type, resolver));
          break;
        case "export alias":
          this.#push(scope, scope.exportOf(declaration));
          break;
        case "outer alias":
          if (declaration.sort === "core type") break;
          this.#push(
            scope,
            scope.outerType(declaration.levels, declaration.sort, declaration.index),
          );
          break;
        case "core export alias":
          throw badModule("it has an alias of a core instance in a type");
        case "export": {
          const { name } = declaration;
          const entity = this.#export(scope, declaration, { resolver, maker });
          exports.set(name, entity);
          this.#push(scope, entity);
        }
      }
    }
    return { exports };
  }

  /** Checks that an instance has what this type declares, and adds the types that it lacks. */
  match(resolver: Resolver, given: InstanceEntity): InstanceEntity {
    const exports: InstanceEntity["exports"] = new Map(given.exports);
    const declared = this.declare(resolver, {
      resource: (name) => {
        const found = given.exports.get(name);
        if (found?.sort === "type" && found.type.kind === "resource") return found.type;
        throw badModule(`it instantiates a component without the resource ${quoteName(name)}`);
      },
      func: (name, type) => {
        const found = given.exports.get(name);
        if (found?.sort === "func" && found.func.type.text === type.text) return found;
        throw badModule(
          `it instantiates a component without ${quoteName(name)} of type ${type.text}`,
        );
      },
    });
    for (const [name, entity] of declared.exports) {
      if (!exports.has(name)) exports.set(name, entity);
    }
    return { exports };
  }

  #push(scope: Scope, entity: Entity): void {
    if (entity.sort === "type") scope.types.push(entity.type);
    else if (entity.sort === "instance") scope.instances.push(entity.instance);
  }

  #export(
    scope: Scope,
    { name, description }: Extract<Declaration, { kind: "export" }>,
    { resolver, maker }: { resolver: Resolver; maker: InstanceMaker },
  ): Entity {
    if (description.sort === "type") {
      if (description.equals === undefined) return { sort: "type", type: maker.resource(name) };
      return { sort: "type", type: entityOf(scope.types, description.equals, "type") };
    }
    const type = entityOf(scope.types, description.type, "type");
    if (description.sort === "func" && type.kind === "func") return maker.func(name, type.type);
    if (description.sort === "instance" && type.kind === "instance") {
      return { sort: "instance", instance: type.declare(resolver, maker) };
    }
    throw badModule(`it has an instance type with the ${description.sort} ${quoteName(name)}`);
  }
}
