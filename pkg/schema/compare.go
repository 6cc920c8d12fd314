package schema

import (
	"fmt"
	"slices"
	"strings"
)

// Mismatch is one reason why data of a writer's schema cannot be read with a reader's schema.
type Mismatch struct {
	// Path leads from the reader's outermost type to the place, for example
	// "lockers.parcel.v1.ParcelAccepted/items[]/weight". "/name" is a field of a record, by its
	// name in the reader's schema, "[]" an item of an array, "{}" a value of a map, "<name>" a type
	// of a union.
	Path string
	// Reason is a phrase about this place, for example "int cannot be read as string".
	Reason string
}

func (m Mismatch) String() string { return m.Path + ": " + m.Reason }

// pairs compares two schemas side by side, by the rules of Avro's schema resolution and the rule
// that a logical type may not change. It goes on after a mismatch, so that all of them are found.
type pairs struct {
	// seen are the pairs that were compared, or are being compared further up. Without it, a record
	// that contains itself would be compared without end, and one that contains itself in several
	// fields would double the work at each level.
	seen  map[[2]*node]bool
	texts map[*node]bool // the writer's bytes that the reader reads as texts
	found []Mismatch
	// nulls accepts a missing field without a default if its type is a union that begins with null.
	// The library reads it as null. The specification and other registries refuse it, so that only
	// reading accepts it.
	nulls bool
}

// comparePairs compares two schemas from their outermost types; nulls is the field of [pairs].
func comparePairs(reader, writer *node, nulls bool) *pairs {
	p := &pairs{seen: map[[2]*node]bool{}, texts: map[*node]bool{}, nulls: nulls}
	p.compare(reader, writer, reader.typeName())
	return p
}

func (p *pairs) mismatch(path, format string, args ...any) {
	p.found = append(p.found, Mismatch{path, fmt.Sprintf(format, args...)})
}

func (p *pairs) compare(reader, writer *node, path string) {
	if p.seen[[2]*node{reader, writer}] {
		return
	}
	p.seen[[2]*node{reader, writer}] = true
	switch {
	case writer.kind == kindUnion:
		for _, w := range writer.branches {
			p.compareBranch(reader, w, path+"<"+w.typeName()+">")
		}
	case reader.kind == kindUnion:
		p.compareBranch(reader, writer, path)
	case reader.kind != writer.kind && !promotes(writer.kind, reader.kind):
		p.mismatch(path, "%s cannot be read as %s", writer.described(), reader.described())
	case reader.logical != writer.logical:
		p.mismatch(path, "the reader's logical type (%s) is not the writer's (%s)", orNone(reader.logical), orNone(writer.logical))
	case reader.kind == writer.kind:
		p.compareSame(reader, writer, path)
	case reader.kind == kindString && writer.kind == kindBytes:
		p.texts[writer] = true
	}
}

// compareBranch compares a type that is no union with the type that it is read as.
func (p *pairs) compareBranch(reader, writer *node, path string) {
	if reader.kind != kindUnion {
		p.compare(reader, writer, path)
		return
	}
	if chosen := reader.branchFor(writer); chosen != nil {
		p.compare(chosen, writer, path)
		return
	}
	p.mismatch(path, "no type of the reader's union reads %s", writer.described())
}

// compareSame compares two types of one kind and one logical type.
func (p *pairs) compareSame(reader, writer *node, path string) {
	if reader.named() && !reader.answersTo(writer) {
		p.mismatch(path, "%s cannot be read as %s", writer.described(), reader.described())
		return
	}
	switch reader.kind {
	case kindArray:
		p.compare(reader.items, writer.items, path+"[]")
	case kindMap:
		p.compare(reader.items, writer.items, path+"{}")
	case kindRecord:
		p.compareFields(reader, writer, path)
	case kindEnum:
		p.compareSymbols(reader, writer, path)
	case kindFixed:
		if reader.size != writer.size {
			p.mismatch(path, "%d bytes cannot be read as %d bytes", writer.size, reader.size)
		}
	}
	if reader.logical == logicalDecimal && (reader.precision != writer.precision || reader.scale != writer.scale) {
		p.mismatch(path, "decimal(%d,%d) cannot be read as decimal(%d,%d)",
			writer.precision, writer.scale, reader.precision, reader.scale)
	}
}

// compareFields finds each of the reader's fields in the writer's record, by its name or else by
// its aliases. Fields that only the writer has are skipped when data is read.
func (p *pairs) compareFields(reader, writer *node, path string) {
	written := make(map[string]field, len(writer.fields))
	for _, f := range writer.fields {
		written[f.name] = f
	}
	for _, f := range reader.fields {
		at := path + "/" + f.name
		names := append([]string{f.name}, f.aliases...)
		i := slices.IndexFunc(names, func(name string) bool { _, ok := written[name]; return ok })
		switch {
		case i >= 0:
			p.compare(f.schema, written[names[i]].schema, at)
		case !f.hasDefault && !(p.nulls && f.schema.beginsWithNull()):
			p.mismatch(at, "the writer has no such field, and it has no default")
		}
	}
	taken := map[string]string{} // the writer's field, by the reader's
	for _, f := range writer.fields {
		name, ok := reader.fieldFor(f.name)
		if !ok {
			continue
		}
		if first, twice := taken[name]; twice {
			p.mismatch(path+"/"+name, "the writer's fields %s and %s would both be read as it", first, f.name)
		}
		taken[name] = f.name
	}
}

func (n *node) beginsWithNull() bool {
	return n.kind == kindUnion && len(n.branches) > 1 && n.branches[0].kind == kindNull
}

// fieldFor returns the name of the field as which a writer's field is read.
func (n *node) fieldFor(written string) (name string, ok bool) {
	for _, f := range n.fields {
		if f.name == written {
			return f.name, true
		}
	}
	for _, f := range n.fields {
		if slices.Contains(f.aliases, written) {
			return f.name, true
		}
	}
	return "", false
}

func (p *pairs) compareSymbols(reader, writer *node, path string) {
	if reader.fallback != "" {
		return
	}
	var unknown []string
	for _, s := range writer.symbols {
		if !slices.Contains(reader.symbols, s) {
			unknown = append(unknown, s)
		}
	}
	if len(unknown) > 0 {
		p.mismatch(path, "the reader's enum has no symbol %s, and no default", strings.Join(unknown, ", "))
	}
}

func orNone(logical string) string {
	if logical == "" {
		return "none"
	}
	return logical
}

// described is a type as a message names it.
func (n *node) described() string {
	if n.named() {
		return n.kind + " " + n.name
	}
	return n.kind
}

// promotes reports whether Avro reads a primitive type as another one.
func promotes(writer, reader string) bool {
	switch writer {
	case kindInt:
		return reader == kindLong || reader == kindFloat || reader == kindDouble
	case kindLong:
		return reader == kindFloat || reader == kindDouble
	case kindFloat:
		return reader == kindDouble
	case kindString:
		return reader == kindBytes
	case kindBytes:
		return reader == kindString
	}
	return false
}

// answersTo reports whether a named type reads a writer's type of the same kind by its name: it has
// the same name, with or without namespace, or an alias that is the name. An alias that is declared
// without a namespace is compared without it.
func (n *node) answersTo(writer *node) bool {
	return n.hasName(writer.name) || n.hasLocalName(writer.localName())
}

func (n *node) hasName(name string) bool { return n.name == name || slices.Contains(n.aliases, name) }

func (n *node) hasLocalName(name string) bool {
	return n.localName() == name || slices.Contains(n.bareAliases, name)
}

// localName is the name of a named type without its namespace.
func (n *node) localName() string { return n.name[strings.LastIndexByte(n.name, '.')+1:] }

// branchFor returns the type of a union as which a writer's type is read: one of the same kind and
// name, else one of the same kind and the same name without namespace, else the first one that the
// writer's type is promoted to. It returns nil if there is none.
func (n *node) branchFor(writer *node) *node {
	ranks := []func(*node) bool{
		func(b *node) bool { return b.sameKind(writer) && (!b.named() || b.hasName(writer.name)) },
		func(b *node) bool { return b.sameKind(writer) && b.hasLocalName(writer.localName()) },
		func(b *node) bool { return promotes(writer.kind, b.kind) },
	}
	for _, matches := range ranks {
		if i := slices.IndexFunc(n.branches, matches); i >= 0 {
			return n.branches[i]
		}
	}
	return nil
}

// sameKind compares the kinds. The size of a fixed is a part of its kind in a union.
func (n *node) sameKind(other *node) bool { return n.kind == other.kind && n.size == other.size }
