// What is wrong with a page for people who do not see it, see it badly, or use no mouse: the rules of WCAG 2.2 A and AA that
// can be decided by looking at a page. Returns sentences; none is good.
const found = [];
const say = (what, element) => found.push(what + (element ? ': ' + element.outerHTML.slice(0, 160) : ''));
const all = selector => [...document.querySelectorAll(selector)];
const words = element => (element.textContent || '').replace(/\s+/g, ' ').trim();
all('details').forEach(details => { details.open = true; });

// The page as a whole.
if (!document.documentElement.lang) say('the page has no language');
if (!document.title.trim()) say('the page has no title');
if (all('main').length !== 1) say('the page has not one main part');
if (all('h1').length !== 1) say('the page has not one h1');
let level = 0;
for (const heading of all('h1, h2, h3, h4, h5, h6')) {
  const next = Number(heading.tagName[1]);
  if (next > level + 1) say('a heading skips a level', heading);
  if (!words(heading)) say('a heading is empty', heading);
  level = next;
}
const ids = new Set();
for (const element of all('[id]')) {
  if (ids.has(element.id)) say('an id stands twice', element);
  ids.add(element.id);
}
for (const attribute of ['aria-labelledby', 'aria-describedby']) {
  for (const element of all(`[${attribute}]`)) {
    for (const id of element.getAttribute(attribute).split(/\s+/)) {
      if (!document.getElementById(id)) say(`${attribute} names nothing`, element);
    }
  }
}
for (const child of document.body.children) {
  if (!child.matches('header, nav, main, footer, a.skip')) say('something stands outside of all landmarks', child);
}
if (all('nav').length > 1) {
  const names = all('nav').map(nav => nav.getAttribute('aria-label'));
  if (names.some(name => !name) || new Set(names).size < names.length) say('navigations cannot be told apart');
}
const viewport = document.querySelector('meta[name=viewport]');
if (!viewport || /user-scalable|maximum-scale/.test(viewport.content)) say('the page cannot be enlarged');
const skip = document.querySelector('a.skip');
if (!skip || !document.querySelector(skip.getAttribute('href'))) say('nothing leads past the head of the page');
if (all('script, style, [style]').length) say('a page with script or style of its own');
for (const element of all('*')) {
  if ([...element.attributes].some(attribute => attribute.name.startsWith('on'))) say('an element with a handler', element);
}

// Names.
const named = element => {
  const by = element.getAttribute('aria-labelledby');
  const label = element.labels && [...element.labels].map(words).join('');
  return Boolean((element.getAttribute('aria-label') || '').trim()
    || (by && by.split(/\s+/).map(id => document.getElementById(id)).filter(Boolean).map(words).join('')) || label);
};
for (const field of all('input:not([type=hidden]), select, textarea')) if (!named(field)) say('a field has no label', field);
for (const element of all('a[href], button, summary')) if (!words(element) && !named(element)) say('nothing says what it does', element);
for (const image of all('svg')) if (image.getAttribute('role') !== 'img' || !named(image)) say('a drawing has no words', image);
for (const image of all('img')) if (!image.hasAttribute('alt')) say('an image has no words', image);
for (const region of all('[role=region], section[aria-labelledby]')) if (!named(region)) say('a region has no name', region);

// Structures.
for (const table of all('table')) {
  if (!table.caption || !words(table.caption)) say('a table has no caption', table);
  for (const cell of table.querySelectorAll('th')) {
    if (!cell.scope) say('a heading of a table has no scope', cell);
    if (!words(cell)) say('a heading of a table is empty', cell);
  }
  const wide = new Set([...table.rows].map(row => row.cells.length));
  if (wide.size > 1) say('rows of a table have different numbers of cells', table);
}
for (const item of all('ul > *, ol > *')) if (item.tagName !== 'LI') say('a list holds something else than items', item);
for (const item of all('dl > *')) if (!['DT', 'DD'].includes(item.tagName)) say('a list of facts holds something else', item);

// Contrast, of what is seen.
const parse = colour => {
  const parts = colour.match(/[\d.]+/g).map(Number);
  return { r: parts[0], g: parts[1], b: parts[2], a: parts.length > 3 ? parts[3] : 1 };
};
const light = ({ r, g, b }) => {
  const [x, y, z] = [r, g, b].map(c => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; });
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
const behind = element => {
  for (let at = element; at; at = at.parentElement) {
    const colour = parse(getComputedStyle(at).backgroundColor);
    if (colour.a === 1) return colour;
    if (colour.a !== 0) say('a half-transparent background', at);
  }
  return { r: 255, g: 255, b: 255, a: 1 };
};
const seen = element => element.checkVisibility ? element.checkVisibility() : true;
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const told = new Set();
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !seen(element) || element.matches('title, desc, option')) continue;
  const style = getComputedStyle(element);
  const colour = parse(element.closest('svg') ? style.fill : style.color);
  const size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  const ratio = contrast(colour, behind(element));
  const key = `${style.color} ${element.className}`;
  if (ratio < (large ? 3 : 4.5) && !told.has(key)) { told.add(key); say(`text has a contrast of ${ratio.toFixed(2)}`, element); }
}
for (const field of all('input:not([type=hidden]), select, textarea')) {
  const ratio = contrast(parse(getComputedStyle(field).borderTopColor), behind(field.parentElement));
  if (ratio < 3) say(`the edge of a field has a contrast of ${ratio.toFixed(2)}`, field);
}
for (const shape of all('svg .bar, svg .point, svg .spent, svg .error, svg polyline, svg .limit, svg .ahead')) {
  const style = getComputedStyle(shape);
  const colour = shape.tagName === 'line' || style.fill === 'none' ? style.stroke : style.fill;
  if (contrast(parse(colour), behind(shape.closest('svg'))) < 3) say('a drawing is hardly seen', shape);
}

// Keyboard and finger.
for (const element of all('*')) {
  const style = getComputedStyle(element);
  const scrolls = ['auto', 'scroll'].includes(style.overflowX) && element.scrollWidth > element.clientWidth + 1;
  if (scrolls && element.tagName !== 'TEXTAREA' && element.tabIndex < 0) say('it scrolls, and not by keyboard', element);
}
for (const element of all('a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]')) {
  if (!seen(element)) continue;
  if (element.tabIndex < 0) say('the keyboard does not reach it', element);
  if (element.getAttribute('tabindex') > 0) say('it comes out of order', element);
  element.focus({ focusVisible: true });
  const style = getComputedStyle(element);
  if (style.outlineStyle === 'none' || parseFloat(style.outlineWidth) < 2) say('its focus is not seen', element);
  const ratio = contrast(parse(style.outlineColor), behind(element.parentElement));
  if (ratio < 3) say(`its focus has a contrast of ${ratio.toFixed(2)}`, element);
  const box = element.getBoundingClientRect();
  if (element.matches('button, input, select, textarea, summary, .button') && box.height < 24) say('it is hardly hit', element);
}
if (document.activeElement) document.activeElement.blur();
window.scrollTo(0, 0);
if (document.documentElement.scrollWidth > window.innerWidth) {
  const wide = all('body *').filter(e => e.getBoundingClientRect().right > window.innerWidth + 1 && !e.closest('.wide, pre'));
  say(`the page is ${document.documentElement.scrollWidth} wide on a screen of ${window.innerWidth}`, wide[0]);
}
return found;
