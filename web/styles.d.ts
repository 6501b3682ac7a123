/** Styles are bundled, and have no value. */
declare module '*.css';
