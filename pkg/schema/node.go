package schema

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Kinds of schema, by their names in Avro.
const (
	kindNull    = "null"
	kindBoolean = "boolean"
	kindInt     = "int"
	kindLong    = "long"
	kindFloat   = "float"
	kindDouble  = "double"
	kindBytes   = "bytes"
	kindString  = "string"
	kindRecord  = "record"
	kindEnum    = "enum"
	kindFixed   = "fixed"
	kindArray   = "array"
	kindMap     = "map"
	kindUnion   = "union"
)

// Logical types that this package supports. By the specification, all others are attributes without
// a meaning.
const (
	logicalDecimal     = "decimal"
	logicalUUID        = "uuid"
	logicalDate        = "date"
	logicalTimeMillis  = "time-millis"
	logicalTimeMicros  = "time-micros"
	logicalMillis      = "timestamp-millis"
	logicalMicros      = "timestamp-micros"
	logicalLocalMillis = "local-timestamp-millis"
	logicalLocalMicros = "local-timestamp-micros"
	logicalDuration    = "duration"
)

// node is a schema as a tree, or as a graph when a record contains itself: a named type that is
// used twice is one node.
type node struct {
	kind             string
	name             string // of a record, enum or fixed: fully qualified
	isError          bool   // a record of type "error"
	logical          string // "" for none and for an unsupported one
	precision, scale int    // of a decimal
	aliases          []string
	bareAliases      []string // the aliases that were declared without a namespace, as declared
	doc              string
	fields           []field
	items            *node // of an array or a map
	branches         []*node
	symbols          []string
	fallback         string // the enum's default
	size             int    // of a fixed, in bytes
	props            map[string]any
}

type field struct {
	name       string
	aliases    []string
	doc        string
	order      string
	schema     *node
	hasDefault bool
	value      any // the default, as defaultValue returns it
	props      map[string]any
}

// named reports whether a kind of schema has a name.
func (n *node) named() bool {
	return n.kind == kindRecord || n.kind == kindEnum || n.kind == kindFixed
}

// typeName returns the fully-qualified name of a named type, else its kind.
func (n *node) typeName() string {
	if n.named() {
		return n.name
	}
	return n.kind
}

// branchName is typeName, with the logical type of an unnamed one: "long.timestamp-micros".
func (n *node) branchName() string {
	if !n.named() && n.logical != "" {
		return n.kind + "." + n.logical
	}
	return n.typeName()
}

// parseNode builds the tree of a schema that the Avro library accepts. It does not repeat the
// library's checks.
func parseNode(schema string) (*node, error) {
	dec := json.NewDecoder(strings.NewReader(schema))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	return nodeParser{}.schema(v, "")
}

// nodeParser contains the named types parsed so far.
type nodeParser map[string]*node

func (p nodeParser) schema(v any, namespace string) (*node, error) {
	switch v := v.(type) {
	case string:
		return p.byName(v, namespace)
	case []any:
		n := &node{kind: kindUnion}
		for _, branch := range v {
			b, err := p.schema(branch, namespace)
			if err != nil {
				return nil, err
			}
			n.branches = append(n.branches, b)
		}
		return n, nil
	case map[string]any:
		return p.object(v, namespace)
	}
	return nil, fmt.Errorf("%v is no schema", v)
}

func (p nodeParser) byName(name, namespace string) (*node, error) {
	switch name {
	case kindNull, kindBoolean, kindInt, kindLong, kindFloat, kindDouble, kindBytes, kindString:
		return &node{kind: name}, nil
	}
	if n, ok := p[qualified(name, namespace)]; ok {
		return n, nil
	}
	if n, ok := p[name]; ok {
		return n, nil
	}
	return nil, fmt.Errorf("unknown type %q", name)
}

func (p nodeParser) object(v map[string]any, namespace string) (n *node, err error) {
	a := attributes(v)
	switch kind := a.text("type"); kind {
	case kindRecord, "error":
		n = p.define(a, kindRecord, namespace)
		n.isError = kind == "error"
		n.props = a.others("type", "name", "namespace", "doc", "aliases", "fields")
		return n, p.fields(n, a)
	case kindEnum:
		n = p.define(a, kindEnum, namespace)
		n.symbols, n.fallback = a.texts("symbols"), a.text("default")
		n.props = a.others("type", "name", "namespace", "doc", "aliases", "symbols", "default")
	case kindFixed:
		n = p.define(a, kindFixed, namespace)
		n.doc = "" // by the specification a fixed has no doc
		n.size = a.integer("size")
		n.props = a.others("type", "name", "namespace", "aliases", "size")
		n.takeLogical(a)
	case kindArray:
		n = &node{kind: kind, props: a.others("type", "items")}
		n.items, err = p.schema(a["items"], namespace)
	case kindMap:
		n = &node{kind: kind, props: a.others("type", "values")}
		n.items, err = p.schema(a["values"], namespace)
	default:
		if n, err = p.byName(kind, namespace); err == nil && !n.named() {
			n.props = a.others("type")
			n.takeLogical(a)
		}
	}
	return n, err
}

// define adds a named type, which may be used from here on.
func (p nodeParser) define(a attributes, kind, namespace string) *node {
	if own, ok := a["namespace"].(string); ok {
		namespace = own
	}
	n := &node{kind: kind, name: qualified(a.text("name"), namespace), doc: a.text("doc")}
	for _, alias := range a.texts("aliases") {
		n.aliases = append(n.aliases, qualified(alias, n.namespace()))
		if !strings.Contains(alias, ".") {
			n.bareAliases = append(n.bareAliases, alias)
		}
	}
	p[n.name] = n
	return n
}

func (n *node) namespace() string {
	return n.name[:max(strings.LastIndexByte(n.name, '.'), 0)]
}

func qualified(name, namespace string) string {
	if namespace == "" || strings.Contains(name, ".") {
		return name
	}
	return namespace + "." + name
}

func (p nodeParser) fields(n *node, a attributes) error {
	list, _ := a["fields"].([]any)
	for _, v := range list {
		object, _ := v.(map[string]any)
		a := attributes(object)
		f := field{
			name: a.text("name"), aliases: a.texts("aliases"), doc: a.text("doc"), order: a.text("order"),
			props: a.others("name", "doc", "type", "order", "aliases", "default"),
		}
		var err error
		if f.schema, err = p.schema(a["type"], n.namespace()); err != nil {
			return fmt.Errorf("field %s: %w", f.name, err)
		}
		var value any
		if value, f.hasDefault = a["default"]; f.hasDefault {
			if f.value, err = defaultValue(f.schema, value); err != nil {
				return fmt.Errorf("default of field %s: %w", f.name, err)
			}
		}
		n.fields = append(n.fields, f)
	}
	return nil
}

// takeLogical sets the logical type, if the schema's kind can have it, and removes its attributes
// from those without a meaning.
func (n *node) takeLogical(a attributes) {
	logical := a.text("logicalType")
	switch n.kind + " " + logical {
	case kindString + " " + logicalUUID,
		kindInt + " " + logicalDate, kindInt + " " + logicalTimeMillis, kindLong + " " + logicalTimeMicros,
		kindLong + " " + logicalMillis, kindLong + " " + logicalMicros,
		kindLong + " " + logicalLocalMillis, kindLong + " " + logicalLocalMicros:
	case kindFixed + " " + logicalDuration:
		if n.size != 12 {
			return
		}
	case kindBytes + " " + logicalDecimal, kindFixed + " " + logicalDecimal:
		n.precision, n.scale = a.integer("precision"), a.integer("scale")
		delete(n.props, "precision")
		delete(n.props, "scale")
	default:
		return
	}
	n.logical = logical
	delete(n.props, "logicalType")
}

// attributes are the attributes of one JSON object.
type attributes map[string]any

func (a attributes) text(key string) string {
	s, _ := a[key].(string)
	return s
}

func (a attributes) texts(key string) []string {
	list, _ := a[key].([]any)
	var texts []string
	for _, v := range list {
		s, _ := v.(string)
		texts = append(texts, s)
	}
	return texts
}

func (a attributes) integer(key string) int {
	number, _ := a[key].(json.Number)
	n, _ := number.Int64()
	return int(n)
}

// others returns the attributes that have no meaning to Avro.
func (a attributes) others(known ...string) map[string]any {
	props := map[string]any{}
	for key, v := range a {
		if !slices.Contains(known, key) {
			props[key] = plainNumbers(v)
		}
	}
	return props
}
