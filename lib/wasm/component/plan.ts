/**
 * Defines the plan by which a component is instantiated: plain data, which can be sent to a worker.
 *
 * @module
 */
import type { CoreModule } from "../inspect.ts";
import type { StringEncoding } from "./definitions.ts";
import type { FunctionType, ResourceType } from "./value_types.ts";

/** An export of a core instance. */
export interface CoreExport {
  /** Discriminant of {@linkcode CoreItem}. */
  kind: "export";
  /** Number of the instance. */
  instance: number;
  /** Name of the export. */
  name: string;
}

/** Something that a core instance imports. */
export type CoreItem =
  | CoreExport
  | { kind: "lower"; func: ComponentFunction; options: LinkedOptions; caller: number }
  | {
    kind: "resource.new" | "resource.drop" | "resource.rep";
    resource: ResourceType;
    /** Component instance in whose table the handles are. */
    caller: number;
  };

/** Options of a lifted or lowered function. */
export interface LinkedOptions {
  /** Encoding of strings. */
  encoding: StringEncoding;
  /** Memory that holds strings and lists. */
  memory: CoreItem | undefined;
  /** Function that allocates in it. */
  realloc: CoreItem | undefined;
  /** Function that is called after the results have been read. */
  postReturn: CoreItem | undefined;
}

/** A function of a component: of the host, or lifted from a core function. */
export type ComponentFunction =
  | HostFunctionReference
  | LiftedFunction;

/** A function of the host. */
export interface HostFunctionReference {
  /** Discriminant of {@linkcode ComponentFunction}. */
  kind: "host";
  /** Interface without its version. */
  interfaceName: string;
  /** Name of the function. */
  name: string;
  /** Type. */
  type: FunctionType;
}

/** A function that a core function implements. */
export interface LiftedFunction {
  /** Discriminant of {@linkcode ComponentFunction}. */
  kind: "lift";
  /** The core function. */
  core: CoreItem;
  /** Options. */
  options: LinkedOptions;
  /** Type. */
  type: FunctionType;
  /** Component instance that implements it. */
  callee: number;
}

/** A core instance to create. */
export interface InstancePlan {
  /** Number of its module. */
  module: number;
  /** Its imports. */
  imports: { module: string; name: string; item: CoreItem }[];
}

/** A destructor of a resource. */
export interface DestructorPlan {
  /** Number of the resource. */
  resource: number;
  /** The core function. */
  core: CoreItem;
}

/** How a component is instantiated and started. */
export interface ComponentPlan {
  /** Core instances, in order. */
  instances: InstancePlan[];
  /** Number of component instances. */
  componentInstances: number;
  /** Destructors of the component's resources. */
  destructors: DestructorPlan[];
  /** Exported functions of the component: those of an instance have its name, `#` and theirs. */
  functions: Record<string, LiftedFunction>;
  /** Name of the function that runs the command; undefined if the component is no command. */
  command: string | undefined;
}

/** A component that was decoded, linked and checked. */
export interface LinkedComponent {
  /** Core modules of the plan, as ranges of the file. */
  modules: { start: number; end: number }[];
  /** Memories and tables of each module. */
  sizes: Pick<CoreModule, "memories" | "tables">[];
  /** The plan. */
  plan: ComponentPlan;
  /** Names of all exports of the component. */
  exports: string[];
}
