package contract_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"eventshop.example/ops/contract"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/schema"
)

const schemas = "../../schemas"

// levelOf is the level at which services register a subject.
func levelOf(subject string) schema.Level {
	for _, typ := range events.Catalogue().Types() {
		if typ.Subject == subject {
			return schema.LevelOf(typ.Topic)
		}
	}
	return schema.FullTransitive
}

// The repository's contract holds. The first versions are those of release 0.1.0, so none of them
// can go, not even with its digest.
func TestTheContractHolds(t *testing.T) {
	t.Parallel()
	c, err := contract.Read(schemas, levelOf)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found(c) {
		t.Error(f)
	}
	versions, err := fs.Glob(os.DirFS(schemas), "released/*/1.avsc")
	if err != nil || len(versions) < 22 {
		t.Errorf("%d first versions of at least 22: %v", len(versions), err)
	}
}

// What is released is what records were written with: the golden records name their schema.
func TestTheGoldenRecordsHaveReleasedSchemas(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, typ := range events.Catalogue().Types() {
		files, err := filepath.Glob(filepath.Join(schemas, "released", typ.Subject, "*.avsc"))
		if err != nil {
			t.Fatal(err)
		}
		if len(files) == 0 {
			continue // a new type
		}
		checked++
		text, err := os.ReadFile(filepath.Join("..", "..", "pkg", "events", "testdata", "golden", typ.Name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		written, _ := parsed(t, text)["Schema"].(string)
		if !slices.ContainsFunc(files, func(file string) bool {
			released, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			canonical, err := schema.Canonical(string(released))
			return err == nil && canonical == written
		}) {
			t.Errorf("no released version of %s is the schema of its golden records:\n%s", typ.Subject, written)
		}
	}
	if checked < 22 {
		t.Errorf("only %d types were compared", checked)
	}
}

// change is a mutation of one field of a schema. It returns false where it does not apply.
type change struct {
	name     string
	apply    func(fields []any, i int) ([]any, bool)
	backward bool   // refused at BACKWARD too
	reason   string // of the breach at the field
}

func changes() []change {
	return []change{
		{"dropped", func(fields []any, i int) ([]any, bool) {
			_, optional := attributes(fields[i])["default"]
			return slices.Delete(fields, i, i+1), !optional
		}, false, "the writer has no such field, and it has no default (reader: version 1, writer: current)"},
		{"renamed", func(fields []any, i int) ([]any, bool) {
			_, optional := attributes(fields[i])["default"]
			attributes(fields[i])["name"] = "renamed"
			return fields, !optional
		}, true, "the writer has no such field, and it has no default"},
		{"of another type", func(fields []any, i int) ([]any, bool) {
			attributes(fields[i])["type"] = "boolean"
			delete(attributes(fields[i]), "default")
			return fields, true
		}, true, "cannot be read as"},
		{"in another unit of time", func(fields []any, i int) ([]any, bool) {
			typ, ok := attributes(fields[i])["type"].(map[string]any)
			if !ok || typ["logicalType"] != "timestamp-micros" {
				return nil, false
			}
			typ["logicalType"] = "timestamp-millis"
			return fields, true
		}, true, "the reader's logical type (timestamp-millis) is not the writer's (timestamp-micros)"},
		{"in the bytes of an int", func(fields []any, i int) ([]any, bool) {
			ok := attributes(fields[i])["type"] == "long"
			attributes(fields[i])["type"] = "int"
			return fields, ok
		}, true, "long cannot be read as int (reader: current, writer: version 1)"},
	}
}

func attributes(field any) map[string]any { return field.(map[string]any) }

// place is a record within a schema: its path, and where its fields are.
type place struct {
	path   string
	record map[string]any
}

// places returns the record and those within it.
func places(path string, typ any) []place {
	object, ok := typ.(map[string]any)
	if !ok {
		return nil
	}
	switch object["type"] {
	case "array":
		return places(path+"[]", object["items"])
	case "record":
		all := []place{{path, object}}
		for _, f := range object["fields"].([]any) {
			all = append(all, places(path+"/"+attributes(f)["name"].(string), attributes(f)["type"])...)
		}
		return all
	}
	return nil
}

// Each change of each field of each schema is reported with its path.
func TestEachMutationOfEachSchemaIsReported(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(os.DirFS(schemas), "*/*.avsc")
	if err != nil || len(files) < 22 {
		t.Fatalf("%d schemas, %v", len(files), err)
	}
	tried := map[string]int{}
	for _, file := range files {
		original, err := os.ReadFile(filepath.Join(schemas, file))
		if err != nil {
			t.Fatal(err)
		}
		subject, err := schema.Subject(string(original))
		if err != nil {
			t.Fatal(err)
		}
		f := newFolder(t, levelOf(subject))
		f.write(path.Base(file), string(original))
		f.release()
		for p := range places(subject, parsed(t, original)) {
			for i := range places(subject, parsed(t, original))[p].record["fields"].([]any) {
				for _, c := range changes() {
					root := parsed(t, original)
					at := places(subject, root)[p]
					fields := at.record["fields"].([]any)
					name := attributes(fields[i])["name"].(string)
					mutated, applies := c.apply(fields, i)
					if !applies {
						continue
					}
					at.record["fields"] = mutated
					text, err := json.Marshal(root)
					if err != nil {
						t.Fatal(err)
					}
					f.write(path.Base(file), string(text))
					want := at.path + "/" + name + ": "
					if c.name == "renamed" && f.level == schema.Backward {
						want = at.path + "/renamed: "
					}
					tried[c.name]++
					got := found(f.read())
					if f.level == schema.Backward && !c.backward {
						if len(got) > 0 {
							t.Errorf("%s, %s %s: %q at BACKWARD", file, name, c.name, got)
						}
						continue
					}
					if !slices.ContainsFunc(got, func(b string) bool { return strings.HasPrefix(b, want) && strings.Contains(b, c.reason) }) {
						t.Errorf("%s, %s %s: %q, want %s%s", file, name, c.name, got, want, c.reason)
					}
				}
			}
		}
	}
	for _, c := range changes() {
		if tried[c.name] < 8 {
			t.Errorf("%s was tried %d times only", c.name, tried[c.name])
		}
	}
}

func parsed(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}
