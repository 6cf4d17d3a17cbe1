// The page's elements: found by their name, and made.

export function element<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found as T;
}

export function made<K extends keyof HTMLElementTagNameMap>(kind: K, name: string, ...content: (Node | string)[]): HTMLElementTagNameMap[K] {
  const one = document.createElement(kind);
  if (name !== "") one.className = name;
  one.append(...content);
  return one;
}
