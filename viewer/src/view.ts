/** What the page shows at a time: the list of studies or one study. */
export interface View {
  /** A key was pressed outside of a text field. */
  key?(event: KeyboardEvent): void;
  /** Another view takes the place. */
  dispose?(): void;
}
