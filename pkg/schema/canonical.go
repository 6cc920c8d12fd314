package schema

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// canonical returns the schema's one fixed form, with or without docs. The form may not change: a
// registry distinguishes versions by it.
func (n *node) canonical(docs bool) (string, error) {
	w := canonicalWriter{docs: docs, written: map[*node]bool{}}
	w.schema(n, "")
	return w.String(), w.err
}

type canonicalWriter struct {
	strings.Builder
	docs    bool
	written map[*node]bool // named types: the next use is by name
	err     error
}

// json writes a separator and a value.
func (w *canonicalWriter) json(before string, v any) {
	b, err := json.Marshal(v)
	if err != nil && w.err == nil {
		w.err = err
	}
	w.WriteString(before)
	w.Write(b)
}

func (w *canonicalWriter) props(props map[string]any) {
	for _, key := range slices.Sorted(maps.Keys(props)) {
		w.json(",", key)
		w.json(":", props[key])
	}
	w.WriteString("}")
}

func (w *canonicalWriter) schema(n *node, namespace string) {
	switch {
	case n.named() && w.written[n]:
		w.json("", n.name)
	case n.named():
		w.written[n] = true
		w.definition(n, namespace)
	case n.kind == kindUnion:
		w.WriteString("[")
		for i, b := range n.branches {
			if i > 0 {
				w.WriteString(",")
			}
			w.schema(b, namespace)
		}
		w.WriteString("]")
	case n.kind == kindArray, n.kind == kindMap:
		w.json(`{"type":`, n.kind)
		w.WriteString(map[string]string{kindArray: `,"items":`, kindMap: `,"values":`}[n.kind])
		w.schema(n.items, namespace)
		w.props(n.props)
	case n.logical == "" && len(n.props) == 0:
		w.json("", n.kind)
	default:
		w.json(`{"type":`, n.kind)
		w.logical(n)
		w.props(n.props)
	}
}

func (w *canonicalWriter) definition(n *node, namespace string) {
	w.json(`{"name":`, n.name)
	if n.namespace() == "" && namespace != "" {
		w.WriteString(`,"namespace":""`) // without it, the type would be in the namespace of the enclosing type
	}
	if len(n.aliases) > 0 {
		w.json(`,"aliases":`, n.aliases)
	}
	if w.docs && n.doc != "" {
		w.json(`,"doc":`, n.doc)
	}
	switch {
	case n.isError:
		w.WriteString(`,"type":"error"`)
	default:
		w.json(`,"type":`, n.kind)
	}
	switch n.kind {
	case kindRecord:
		w.WriteString(`,"fields":[`)
		for i, f := range n.fields {
			if i > 0 {
				w.WriteString(",")
			}
			w.field(f, n.namespace())
		}
		w.WriteString("]")
	case kindEnum:
		w.json(`,"symbols":`, append([]string{}, n.symbols...))
		if n.fallback != "" {
			w.json(`,"default":`, n.fallback)
		}
	case kindFixed:
		w.json(`,"size":`, n.size)
		w.logical(n)
	}
	w.props(n.props)
}

func (w *canonicalWriter) field(f field, namespace string) {
	w.json(`{"name":`, f.name)
	if len(f.aliases) > 0 {
		w.json(`,"aliases":`, f.aliases)
	}
	if w.docs && f.doc != "" {
		w.json(`,"doc":`, f.doc)
	}
	w.WriteString(`,"type":`)
	w.schema(f.schema, namespace)
	if f.hasDefault {
		w.json(`,"default":`, f.value)
	}
	if f.order != "" && f.order != "ascending" {
		w.json(`,"order":`, f.order)
	}
	w.props(f.props)
}

func (w *canonicalWriter) logical(n *node) {
	if n.logical == "" {
		return
	}
	w.json(`,"logicalType":`, n.logical)
	if n.logical == logicalDecimal {
		w.WriteString(`,"precision":` + strconv.Itoa(n.precision))
		if n.scale > 0 {
			w.WriteString(`,"scale":` + strconv.Itoa(n.scale))
		}
	}
}
