#!/usr/bin/env bash
# fast-xml-parser 5.12.1: Mrs O'Brien is read as O&#x27;Brien, and sent on as O&amp;#x27;Brien.
#
# XML lets any character be written as its number, and libraries do: Handlebars writes each apostrophe
# as &#x27;, xmldom each line break in an attribute as &#10;, without which it would be lost. Numbers
# are of XML itself, unlike the names of HTML (&nbsp;). What one expects of a parser that turns &apos;
# and &amp; into what they stand for is that it does so with &#x27;.
#
# Seen: it leaves them as they are, in attributes and in text, without an error, unless one asks for
# *HTML's* entities (htmlEntities). The patient has another surname than in every other system, and is
# found in none by her name; a note has &#10; in its middle. What is written from it has the & escaped,
# so that the next system reads the wrong name, too, whatever its parser.
# xml2js 0.6.2, @xmldom/xmldom 0.9.12 and Python's expat read O'Brien.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm --prefix "$folder" --silent --no-audit --no-fund install 'fast-xml-parser@5.12.1' \
  'handlebars@4.7.10' 'xml2js@0.6.2' '@xmldom/xmldom@0.9.12'
cd "$folder"
cat >names.js <<'NODE'
const assert = require("assert");
const { execFileSync } = require("child_process");
const { XMLBuilder, XMLParser } = require("fast-xml-parser");
const handlebars = require("handlebars");
const { DOMParser, XMLSerializer } = require("@xmldom/xmldom");
const { parseString } = require("xml2js");

const EXPAT = `import sys, xml.etree.ElementTree as tree
sys.stdout.write(tree.fromstring(sys.stdin.buffer.read())[0].get("value"))`;
const marked = { ignoreAttributes: false, attributeNamePrefix: "@", suppressEmptyNode: true };

function read(how, text) {
  if (how === "expat") return execFileSync("python3", ["-c", EXPAT], { input: text, encoding: "utf8" });
  if (how === "xmldom")
    return new DOMParser().parseFromString(text, "text/xml").documentElement.firstChild.getAttribute("value");
  let value;
  if (how === "xml2js") parseString(text, (_, found) => (value = found.name.family[0].$.value));
  else value = new XMLParser({ ...marked, ...how }).parse(text).name.family["@value"];
  return value;
}

const written = handlebars.compile('<name><family value="{{name}}"/></name>')({ name: "O'Brien" });
const note = new DOMParser().parseFromString("<name><family/></name>", "text/xml");
note.documentElement.firstChild.setAttribute("value", "Ring 2\nNot the bell");
const lines = new XMLSerializer().serializeToString(note);
const seen = {
  "fast-xml-parser": read({}, written),
  "fast-xml-parser, line break": read({}, lines),
  "fast-xml-parser, apos": read({}, written.replace("&#x27;", "&apos;")),
  "fast-xml-parser, htmlEntities": read({ htmlEntities: true }, written),
  "fast-xml-parser, read and written": new XMLBuilder(marked).build(new XMLParser(marked).parse(written)),
  xml2js: read("xml2js", written),
  xmldom: read("xmldom", written),
  expat: read("expat", written),
};
console.log("written:", written, lines);
for (const [how, value] of Object.entries(seen)) console.log(`${how.padEnd(34)}`, value);
assert.deepStrictEqual(seen, {
  "fast-xml-parser": "O&#x27;Brien",
  "fast-xml-parser, line break": "Ring 2&#10;Not the bell",
  "fast-xml-parser, apos": "O'Brien",
  "fast-xml-parser, htmlEntities": "O'Brien",
  "fast-xml-parser, read and written": '<name><family value="O&amp;#x27;Brien"/></name>',
  xml2js: "O'Brien",
  xmldom: "O'Brien",
  expat: "O'Brien",
});
NODE
node names.js
