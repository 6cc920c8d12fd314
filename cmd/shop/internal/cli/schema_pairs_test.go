package cli_test

import "strings"

// evolution is a history of a schema with the verdict of the Avro specification about the last
// version.
type evolution struct {
	name     string
	versions []string // the last one follows the others, each of which may follow those before it
	backward bool     // the last version reads the data of the others
	forward  bool     // the others read the data of the last version
}

// evolutions are all rules of Avro's schema resolution. The last version of one of more than two
// gets the same verdict at BACKWARD, which compares with the newest only.
func evolutions() []evolution {
	of := func(typ string) string { return record(field("f", typ)) }
	change := func(name, from, to string, backward, forward bool) evolution {
		return evolution{name, []string{of(from), of(to)}, backward, forward}
	}
	whole := func(name, from, to string, backward, forward bool) evolution {
		return evolution{name, []string{from, to}, backward, forward}
	}
	enum := func(more string, symbols ...string) string {
		return `{"type":"enum","name":"E","symbols":["` + strings.Join(symbols, `","`) + `"]` + more + `}`
	}
	fixed := func(name, size, more string) string {
		return `{"type":"fixed","name":"` + name + `","size":` + size + more + `}`
	}
	inner := func(name string, fields ...string) string {
		return `{"type":"record","name":"` + name + `","fields":[` + strings.Join(fields, ",") + `]}`
	}
	logical := func(typ, name string) string { return `{"type":"` + typ + `","logicalType":"` + name + `"}` }
	decimal := func(digits string) string { return `{"type":"bytes","logicalType":"decimal",` + digits + `}` }
	list := func(items string) string { return `{"type":"array","items":` + items + `}` }
	table := func(values string) string { return `{"type":"map","values":` + values + `}` }
	aliased := func(name, alias string) string {
		return `{"name":"` + name + `","aliases":["` + alias + `"],"type":"int"}`
	}
	self := func(fields ...string) string { return record(append(fields, field("next", `["null","n.v1.R"]`))...) }
	return []evolution{
		whole("the same", of(`"int"`), of(`"int"`), true, true),
		whole("another order of fields", record(field("a", `"int"`), field("b", `"string"`)), record(field("b", `"string"`), field("a", `"int"`)), true, true),
		whole("only docs", of(`"int"`), strings.Replace(of(`"int"`), `"name":"f"`, `"name":"f","doc":"D."`, 1), true, true),
		whole("a field added", record(), of(`"int"`), false, true),
		whole("a field with a default added", record(), record(defaulted("f", `"int"`, "0")), true, true),
		whole("a field dropped", of(`"int"`), record(), true, false),
		whole("a field with a default dropped", record(defaulted("f", `"int"`, "0")), record(), true, true),
		whole("a default added", of(`"int"`), record(defaulted("f", `"int"`, "0")), true, true),
		whole("a default removed", record(defaulted("f", `"int"`, "0")), of(`"int"`), true, true),
		{"a default removed that an earlier version needs", []string{record(), record(defaulted("f", `"int"`, "0")), of(`"int"`)}, true, false},
		whole("a nullable field added without a default", record(), of(`["null","int"]`), false, true),
		whole("a nullable field added with null", record(), record(defaulted("f", `["null","int"]`, "null")), true, true),
		whole("a field renamed", record(field("a", `"int"`)), record(field("b", `"int"`)), false, false),
		whole("a field renamed with an alias", record(field("a", `"int"`)), record(aliased("b", "a")), true, false),
		whole("an alias of another field", record(field("a", `"int"`)), record(aliased("b", "c")), false, false),

		change("int to long", `"int"`, `"long"`, true, false),
		change("int to float", `"int"`, `"float"`, true, false),
		change("int to double", `"int"`, `"double"`, true, false),
		change("long to float", `"long"`, `"float"`, true, false),
		change("long to double", `"long"`, `"double"`, true, false),
		change("float to double", `"float"`, `"double"`, true, false),
		change("string to bytes", `"string"`, `"bytes"`, true, true),
		change("int to string", `"int"`, `"string"`, false, false),
		change("boolean to int", `"boolean"`, `"int"`, false, false),
		change("null to int", `"null"`, `"int"`, false, false),
		change("string to list", `"string"`, list(`"string"`), false, false),
		change("list to map", list(`"int"`), table(`"int"`), false, false),
		change("items int to long", list(`"int"`), list(`"long"`), true, false),
		change("values long to string", table(`"long"`), table(`"string"`), false, false),

		change("a type becomes nullable", `"int"`, `["null","int"]`, true, false),
		change("a branch added", `["null","int"]`, `["null","int","string"]`, true, false),
		change("branches in another order", `["null","int"]`, `["int","null"]`, true, true),
		change("a branch promoted", `["null","int"]`, `["null","long"]`, true, false),
		change("a branch of another type", `["null","int"]`, `["null","boolean"]`, false, false),
		change("a union of one type", `["int"]`, `"int"`, true, true),
		change("within a record of a union", `["null",`+inner("I", field("x", `"int"`))+`]`, `["null",`+inner("I", field("x", `"string"`))+`]`, false, false),
		change("a record of a union renamed", `["null",`+inner("I")+`]`, `["null",`+inner("J")+`]`, false, false),

		change("a symbol added", enum("", "A"), enum("", "A", "B"), true, false),
		change("a symbol added to an enum with a default", enum(`,"default":"A"`, "A"), enum(`,"default":"A"`, "A", "B"), true, true),
		change("a symbol removed", enum("", "A", "B"), enum("", "A"), false, true),
		change("symbols in another order", enum("", "A", "B"), enum("", "B", "A"), true, true),
		change("an enum renamed", enum("", "A"), strings.Replace(enum("", "A"), `"E"`, `"F"`, 1), false, false),
		change("an enum renamed with an alias", enum("", "A"), strings.Replace(enum(`,"aliases":["E"]`, "A"), `"E","symbols"`, `"F","symbols"`, 1), true, false),
		change("a namespace", enum("", "A"), strings.Replace(enum("", "A"), `"E"`, `"other.E"`, 1), true, true),

		change("a fixed of another size", fixed("F", "2", ""), fixed("F", "3", ""), false, false),
		change("a fixed renamed", fixed("F", "2", ""), fixed("G", "2", ""), false, false),
		change("a fixed to bytes", fixed("F", "2", ""), `"bytes"`, false, false),

		change("a nested field added", inner("I"), inner("I", field("x", `"int"`)), false, true),
		change("a nested field with a default added", list(inner("I")), list(inner("I", defaulted("x", `"int"`, "1"))), true, true),
		change("a nested record renamed", inner("I"), inner("J"), false, false),
		whole("within a record that contains itself", self(), self(field("x", `"int"`)), false, true),
		whole("a record that contains itself gains an optional field", self(), self(defaulted("x", `"int"`, "1")), true, true),

		change("milliseconds to microseconds", logical("long", "timestamp-millis"), logical("long", "timestamp-micros"), false, false),
		change("a time to a number", logical("long", "timestamp-micros"), `"long"`, false, false),
		change("a local time", logical("long", "timestamp-micros"), logical("long", "local-timestamp-micros"), false, false),
		change("a time of day in another unit", logical("int", "time-millis"), logical("long", "time-micros"), false, false),
		change("a uuid to a text", logical("string", "uuid"), `"string"`, false, false),
		change("an unknown logical type", `"string"`, logical("string", "colour"), true, true),
		change("the scale of a decimal", decimal(`"precision":9,"scale":2`), decimal(`"precision":9,"scale":3`), false, false),
		change("the precision of a decimal", decimal(`"precision":9,"scale":2`), decimal(`"precision":8,"scale":2`), false, false),
		change("a decimal to bytes", decimal(`"precision":9,"scale":2`), `"bytes"`, false, false),
		change("a decimal to a text", decimal(`"precision":9,"scale":2`), `"string"`, false, false),
	}
}

func record(fields ...string) string {
	return `{"type":"record","namespace":"n.v1","name":"R","fields":[` + strings.Join(fields, ",") + `]}`
}

func field(name, typ string) string { return `{"name":"` + name + `","type":` + typ + `}` }

func defaulted(name, typ, def string) string {
	return `{"name":"` + name + `","type":` + typ + `,"default":` + def + `}`
}
