#!/usr/bin/env bash
# fast-xml-parser 5.12.1 and xmlbuilder2 4.0.3: the lines of a note are one line at the other end.
#
# FHIR's XML has every text in an attribute: <text value="…"/>. A line break within an attribute has
# to be written as &#10;, or every conforming reader makes a blank of it, and so with tabs (XML 1.0,
# 3.3.3). What one expects of a library that writes XML, and has no trouble with < and quotation
# marks, is that it does so.
#
# Seen: neither does. A list of allergies, of doses or of the lines of an address runs together, with
# no error at either end, and the file looks right in an editor. It comes back whole from
# fast-xml-parser's own reader and from sax 1.6.1, which leave such a break as it is, so a test in
# Node there and back sees nothing; @xmldom/xmldom 0.9.12 and Python's expat make blanks, as they
# should. xmldom and xml2js 0.6.2 write &#10;.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm --prefix "$folder" --silent --no-audit --no-fund install 'fast-xml-parser@5.12.1' \
  'xmlbuilder2@4.0.3' 'xml2js@0.6.2' '@xmldom/xmldom@0.9.12' 'sax@1.6.1'
cd "$folder"
cat >notes.js <<'NODE'
const { XMLBuilder, XMLParser } = require("fast-xml-parser");
const { create } = require("xmlbuilder2");
const { Builder } = require("xml2js");
const { DOMParser, XMLSerializer } = require("@xmldom/xmldom");
const sax = require("sax");
const { execFileSync } = require("child_process");

const NOTE = "Allergies:\n1. penicillin\tsevere\n2. latex";
const ONE_LINE = NOTE.replace(/[\n\t]/g, " ");
const EXPAT = `import sys, xml.etree.ElementTree as tree
sys.stdout.write(tree.fromstring(sys.stdin.buffer.read())[0].get("value"))`;

function byXmldom() {
  const document = new DOMParser().parseFromString("<Annotation><text/></Annotation>", "text/xml");
  document.documentElement.firstChild.setAttribute("value", NOTE);
  return new XMLSerializer().serializeToString(document);
}
function bySax(text) {
  const parser = sax.parser(true);
  let value;
  parser.onattribute = (attribute) => (value = attribute.value);
  parser.write(text).close();
  return value;
}
const marked = { ignoreAttributes: false, attributeNamePrefix: "@" };
const writers = {
  "fast-xml-parser": new XMLBuilder(marked).build({ Annotation: { text: { "@value": NOTE } } }),
  xmlbuilder2: create({ Annotation: { text: { "@value": NOTE } } }).end(),
  xml2js: new Builder().buildObject({ Annotation: { text: { $: { value: NOTE } } } }),
  xmldom: byXmldom(),
};
const readers = {
  "Python's expat": (text) => execFileSync("python3", ["-c", EXPAT], { input: text, encoding: "utf8" }),
  xmldom: (text) =>
    new DOMParser().parseFromString(text, "text/xml").getElementsByTagName("text")[0].getAttribute("value"),
  "fast-xml-parser": (text) => new XMLParser(marked).parse(text).Annotation.text["@value"],
  sax: bySax,
};
let changed = false;
for (const [writer, text] of Object.entries(writers))
  for (const [reader, read] of Object.entries(readers)) {
    const lost = ["fast-xml-parser", "xmlbuilder2"].includes(writer) && /expat|xmldom/.test(reader);
    const escaped = ["xml2js", "xmldom"].includes(writer) && reader === "fast-xml-parser";
    if (escaped) continue; // it has a way of its own with &#10;
    const seen = read(text);
    console.log(`${writer.padEnd(16)}→ ${reader.padEnd(16)}`, JSON.stringify(seen));
    changed ||= seen !== (lost ? ONE_LINE : NOTE);
  }
process.exit(changed ? 1 : 0);
NODE
node notes.js
