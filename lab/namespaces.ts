/**
 * Where a command must run to be on a node or in a pod: the namespaces, as descriptors that the lab's first process
 * holds. `/proc/<its pid>/fd/<number>` opens them.
 */
export interface NamespaceHandles {
  readonly mount: number;
  readonly uts: number;
  readonly net: number;
}

/**
 * The command that runs `argv` there. util-linux's nsenter opens all files before it enters the first namespace, so the
 * paths are those of the caller's /proc.
 * @param holder process number of the lab's first process, in the caller's /proc.
 */
export function enterCommand(handles: NamespaceHandles, holder: number, argv: readonly string[]): string[] {
  const path = (fd: number) => `/proc/${holder}/fd/${fd}`;
  return [
    "nsenter",
    `--mount=${path(handles.mount)}`,
    `--uts=${path(handles.uts)}`,
    `--net=${path(handles.net)}`,
    "--",
    ...argv,
  ];
}

/** As enterCommand, for a caller outside the lab: also into its PID namespace, and its user namespace where it has one. */
export function enterFromHost(
  handles: NamespaceHandles,
  holder: number,
  rootless: boolean,
  argv: readonly string[],
): string[] {
  const [nsenter = "", ...rest] = enterCommand(handles, holder, argv);
  const user = rootless ? [`--user=/proc/${holder}/ns/user`, "--preserve-credentials"] : [];
  return [nsenter, ...user, `--pid=/proc/${holder}/ns/pid`, ...rest];
}
