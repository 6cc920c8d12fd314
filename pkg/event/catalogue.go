package event

import (
	"fmt"
	"reflect"
	"slices"
)

// Catalogue is a set of event types, each name once. The zero value is empty. It is immutable,
// cheap to copy and safe for concurrent use.
type Catalogue struct {
	types  []Type // in the given order
	byName map[string]int
}

// NewCatalogue returns the catalogue of the types. It panics when two types have the same name: the
// types of a program are known when it is written.
func NewCatalogue(types ...Type) Catalogue {
	c := Catalogue{types: slices.Clone(types), byName: make(map[string]int, len(types))}
	for i, t := range c.types {
		if _, twice := c.byName[t.Name]; twice {
			panic(fmt.Sprintf("event: two types %s in one catalogue", t.Name))
		}
		c.byName[t.Name] = i
	}
	return c
}

// Types returns all types in the order of [NewCatalogue]. The slice is a copy.
func (c Catalogue) Types() []Type { return slices.Clone(c.types) }

// Lookup returns the type of a name, which is the value of the ce_type header.
func (c Catalogue) Lookup(name string) (Type, bool) {
	i, ok := c.byName[name]
	if !ok {
		return Type{}, false
	}
	return c.types[i], true
}

// TypeOf returns the catalogue's entry of a generated type, given as the struct or as a pointer to
// it. It panics for a T that the catalogue lacks: the types of a program are known when it is
// written, so this is no condition to handle at run time.
func TypeOf[T Event](c Catalogue) Type {
	goType := reflect.TypeFor[T]()
	if goType.Kind() == reflect.Pointer {
		goType = goType.Elem()
	}
	t, ok := c.Lookup(goType.Name())
	if !ok || reflect.TypeOf(t.New()).Elem() != goType {
		panic(fmt.Sprintf("event: %s is not in the catalogue", goType))
	}
	return t
}
