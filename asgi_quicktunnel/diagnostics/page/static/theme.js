// Light or dark, before anything is drawn: the one script that is not a module.
(() => {
  const KEY = 'quicktunnel-theme';
  const root = document.documentElement;
  let kept = null;
  try {
    kept = localStorage.getItem(KEY);
  } catch {
    // Storage is switched off; the system's choice holds then.
  }
  if (kept === 'light' || kept === 'dark') root.dataset.theme = kept;

  function isDark() {
    if (root.dataset.theme) return root.dataset.theme === 'dark';
    return matchMedia('(prefers-color-scheme: dark)').matches;
  }

  addEventListener('DOMContentLoaded', () => {
    const toggle = document.getElementById('theme');
    const show = () => toggle.setAttribute('aria-pressed', String(isDark()));
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', show);
    toggle.addEventListener('click', () => {
      root.dataset.theme = isDark() ? 'light' : 'dark';
      try {
        localStorage.setItem(KEY, root.dataset.theme);
      } catch {
        // It holds until the page is left.
      }
      show();
    });
    show();
  });
})();
