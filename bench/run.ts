/** What every benchmark is given. */
export interface Bench {
  /** Folder with twill, twill-agent and twill-cni. */
  readonly programs: string;
  /** An empty folder of its own. */
  readonly folder: string;
  /** Shares of the usual number of rounds: 1, less for a quick look. */
  readonly scale: number;
  /** Tells what is being done, on one line that replaces itself. */
  progress(text: string): void;
}
