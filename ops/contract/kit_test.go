package contract_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eventshop.example/ops/contract"
	"eventshop.example/pkg/schema"
)

// folder is a folder of schemas whose subjects all have one level.
type folder struct {
	t     *testing.T
	dir   string
	level schema.Level
}

func newFolder(t *testing.T, level schema.Level) *folder {
	t.Helper()
	return &folder{t, t.TempDir(), level}
}

func (f *folder) path(file string) string { return filepath.Join(f.dir, filepath.FromSlash(file)) }

func (f *folder) write(file, text string) {
	f.t.Helper()
	if err := os.MkdirAll(filepath.Dir(f.path(file)), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(f.path(file), []byte(text), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

func (f *folder) content(file string) string {
	f.t.Helper()
	b, err := os.ReadFile(f.path(file))
	if err != nil {
		f.t.Fatal(err)
	}
	return string(b)
}

func (f *folder) remove(file string) {
	f.t.Helper()
	if err := os.RemoveAll(f.path(file)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *folder) levels(string) schema.Level { return f.level }

func (f *folder) read() *contract.Contract {
	f.t.Helper()
	c, err := contract.Read(f.dir, f.levels)
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// release releases the schemas and returns the new files, separated by spaces.
func (f *folder) release() string {
	f.t.Helper()
	_, files, err := contract.Release(f.dir, f.levels)
	if err != nil {
		f.t.Fatal(err)
	}
	return strings.Join(files, " ")
}

// found returns the breaches of all subjects and the faults.
func found(c *contract.Contract) []string {
	var all []string
	for _, s := range c.Subjects {
		for _, b := range s.Breaches {
			all = append(all, b.String())
		}
	}
	for _, f := range c.Faults {
		all = append(all, f.String())
	}
	return all
}

func record(fields ...string) string {
	return `{"type":"record","namespace":"n.v1","name":"R","fields":[` + strings.Join(fields, ",") + `]}`
}

func field(name, typ string) string { return `{"name":"` + name + `","type":` + typ + `}` }

func defaulted(name, typ, def string) string {
	return `{"name":"` + name + `","type":` + typ + `,"default":` + def + `}`
}
