package schema

import (
	"fmt"

	"github.com/twmb/avro"
)

// resolution reads data of a writer's schema as a value of the reader's.
type resolution struct {
	library *avro.Schema
	// texts are the writer's bytes that the reader reads as texts.
	texts map[*node]bool
}

// resolve combines the schema that data was written with and the schema that it is read with. It
// refuses two recursive records: no event's type is recursive.
func resolve(reader, writer *parsed) (r resolution, err error) {
	defer recoverInto(&err, "resolve schemas")
	p := newPairs()
	if err := p.compare(reader.root, writer.root); err != nil {
		return r, err
	}
	if reader.root.recursive() && writer.root.recursive() {
		return r, fmt.Errorf("resolve schemas: both are recursive")
	}
	library, err := avro.Resolve(writer.library, reader.library)
	if err != nil {
		return r, fmt.Errorf("resolve schemas: %w", err)
	}
	return resolution{library, p.texts}, nil
}

// compatible returns nil when resolve would succeed. It accepts recursive schemas too.
func compatible(reader, writer *parsed) (err error) {
	defer recoverInto(&err, "compare schemas")
	if err := newPairs().compare(reader.root, writer.root); err != nil {
		return err
	}
	return avro.CheckCompatibility(writer.library, reader.library)
}

// recursive reports whether a record contains itself.
func (n *node) recursive() bool {
	const entered, left = 1, 2
	state := map[*node]int{}
	var visit func(*node) bool
	visit = func(n *node) bool {
		if n.kind == kindRecord {
			if s := state[n]; s != 0 {
				return s == entered
			}
			state[n] = entered
			defer func() { state[n] = left }()
		}
		for _, child := range n.children() {
			if visit(child) {
				return true
			}
		}
		return false
	}
	return visit(n)
}

func (n *node) children() []*node {
	switch n.kind {
	case kindRecord:
		var types []*node
		for _, f := range n.fields {
			types = append(types, f.schema)
		}
		return types
	case kindArray, kindMap:
		return []*node{n.items}
	case kindUnion:
		return n.branches
	}
	return nil
}

// pairs compares two schemas side by side, for what the library does not check.
type pairs struct {
	// seen are the pairs that were compared, or are being compared further up. Without it, a record
	// that contains itself would be compared without end, and one that contains itself in several
	// fields would double the work at each level.
	seen  map[[2]*node]bool
	texts map[*node]bool
}

func newPairs() pairs { return pairs{map[[2]*node]bool{}, map[*node]bool{}} }

// compare refuses a logical type that differs from the writer's, wherever both schemas have a value
// of the same type. It records bytes that are read as a text.
func (p pairs) compare(reader, writer *node) error {
	if p.seen[[2]*node{reader, writer}] {
		return nil
	}
	p.seen[[2]*node{reader, writer}] = true
	if reader.kind == kindUnion || writer.kind == kindUnion {
		return p.branches(reader, writer)
	}
	if reader.kind == kindString && writer.kind == kindBytes {
		p.texts[writer] = true
	}
	if reader.kind != writer.kind {
		return nil
	}
	if reader.logical != writer.logical {
		return fmt.Errorf("reader's logical type %q is not the writer's %q", reader.logical, writer.logical)
	}
	switch reader.kind {
	case kindArray, kindMap:
		return p.compare(reader.items, writer.items)
	case kindRecord:
		return p.fields(reader, writer)
	}
	return nil
}

// branches compares each of the writer's types with the type that it is read as: one of the same
// name or kind, or the only one. A reader of both texts and bytes reads bytes as bytes.
func (p pairs) branches(reader, writer *node) error {
	for _, w := range writer.alternatives() {
		read := reader.alternatives()
		for _, r := range reader.alternatives() {
			if r.typeName() == w.typeName() {
				read = []*node{r}
				break
			}
		}
		for _, r := range read {
			if err := p.compare(r, w); err != nil {
				return err
			}
		}
	}
	return nil
}

// alternatives returns the types of a union; for any other type it returns only that type.
func (n *node) alternatives() []*node {
	if n.kind == kindUnion {
		return n.branches
	}
	return []*node{n}
}

func (p pairs) fields(reader, writer *node) error {
	written := make(map[string]*node, len(writer.fields))
	for _, f := range writer.fields {
		written[f.name] = f.schema
	}
	for _, f := range reader.fields {
		for _, name := range append([]string{f.name}, f.aliases...) {
			w, ok := written[name]
			if !ok {
				continue
			}
			if err := p.compare(f.schema, w); err != nil {
				return fmt.Errorf("field %s: %w", f.name, err)
			}
			break
		}
	}
	return nil
}
