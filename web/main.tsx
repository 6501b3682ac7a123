/** The page's entry: draws the application and starts it. */
import { render } from 'preact';
import './styles/base.css';
import './styles/layout.css';
import './styles/thread.css';
import './styles/panel.css';
import { start } from './state/store.js';
import { App } from './views/app.js';

const root = document.getElementById('app');
if (root !== null) {
  render(<App />, root);
  void start();
}
