package schema

import (
	"errors"
	"fmt"
	"strings"

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
	p := comparePairs(reader.root, writer.root, true)
	if err := refused(p.found); err != nil {
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

// mismatches returns none only if resolve would succeed, recursive schemas aside. The library has the
// last word, because it reads the data: what only the library refuses is a mismatch of the
// outermost type.
func mismatches(reader, writer *parsed) (found []Mismatch) {
	var err error
	defer func() {
		if err != nil {
			found = append(found, Mismatch{reader.root.typeName(), err.Error()})
		}
	}()
	defer recoverInto(&err, "compare schemas")
	if found = comparePairs(reader.root, writer.root, false).found; len(found) == 0 {
		err = avro.CheckCompatibility(writer.library, reader.library)
	}
	return found
}

// refused returns mismatches as an error, nil for none.
func refused(found []Mismatch) error {
	if len(found) == 0 {
		return nil
	}
	texts := make([]string, len(found))
	for i, m := range found {
		texts[i] = m.String()
	}
	return errors.New(strings.Join(texts, "; "))
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
