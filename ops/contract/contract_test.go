package contract_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/ops/contract"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/schema"
)

const released1 = "released/n.v1.R/1.avsc"

func TestStates(t *testing.T) {
	t.Parallel()
	f := newFolder(t, schema.FullTransitive)
	state := func(want contract.State, version int) {
		t.Helper()
		s := f.read().Subjects[0]
		if len(f.read().Subjects) != 1 || s.Name != "n.v1.R" || s.State != want || s.Version != version || s.Level != f.level {
			t.Errorf("%+v, want %s and version %d", s, want, version)
		}
	}
	first := record(field("a", `"int"`))
	f.write("n/r.avsc", first)
	state(contract.New, 1)
	f.release()
	state(contract.Released, 1)

	f.write("n/r.avsc", " "+strings.Replace(first, `"name":"R"`, `"name": "R"`, 1))
	state(contract.Released, 1) // white space is no difference
	f.write("n/r.avsc", strings.Replace(first, `"name":"a"`, `"name":"a","doc":"Docs."`, 1))
	state(contract.Documented, 1)
	if got := f.release(); got != "" {
		t.Errorf("docs alone are released: %s", got)
	}

	second := record(field("a", `"int"`), defaulted("b", `"int"`, "0"))
	f.write("n/r.avsc", second)
	state(contract.Changed, 2)
	f.release()
	state(contract.Released, 2)
	f.write("n/r.avsc", first)
	state(contract.Released, 1) // a registry has it as version 1, too
	if found(f.read()) != nil {
		t.Errorf("%q", found(f.read()))
	}

	f.remove("n/r.avsc")
	f.write("n/other.avsc", `{"type":"record","name":"z.Other","fields":[]}`)
	c := f.read()
	if c.Subjects[0].State != contract.Removed || c.Subjects[1].State != contract.New {
		t.Errorf("%+v", c.Subjects)
	}
	if diff := cmp.Diff([]string{"n.v1.R: version 2 is released, and no file has the subject any more"}, found(c)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A breach names its place and the versions on both sides. All levels are of pkg/schema; here it is
// what a default that was removed later does.
func TestADefaultThatIsRemovedLater(t *testing.T) {
	t.Parallel()
	for level, want := range map[schema.Level][]string{
		schema.FullTransitive: {"n.v1.R/e: the writer has no such field, and it has no default (reader: current, writer: version 1)"},
		schema.Full:           nil,
	} {
		f := newFolder(t, level)
		enum := `{"type":"enum","name":"E","symbols":["A","B"]}`
		f.write("r.avsc", record(field("a", `"int"`)))
		f.release()
		f.write("r.avsc", record(field("a", `"int"`), defaulted("e", enum, `"A"`)))
		f.release()
		f.write("r.avsc", record(field("a", `"int"`), field("e", enum)))
		c := f.read()
		if diff := cmp.Diff(want, found(c)); diff != "" || c.Breached() != (want != nil) {
			t.Errorf("%s (-want +got):\n%s", level, diff)
		}
		f.write("r.avsc", record(field("a", `"int"`), defaulted("e", strings.Replace(enum, `,"B"`, "", 1), `"A"`)))
		want := []string{"n.v1.R/e: the reader's enum has no symbol B, and no default (reader: current, writer: version 2)"}
		if diff := cmp.Diff(want, found(f.read())); diff != "" {
			t.Errorf("%s (-want +got):\n%s", level, diff)
		}
	}
}

func TestReleaseWritesEachVersionOnce(t *testing.T) {
	t.Parallel()
	f := newFolder(t, schema.FullTransitive)
	f.write("r.avsc", record(field("a", `"int"`)))
	if got := f.release(); got != released1 {
		t.Errorf("wrote %q", got)
	}
	one, sums := f.content(released1), f.content("released/SHA256SUMS")
	if got := f.release(); got != "" || f.content("released/SHA256SUMS") != sums {
		t.Errorf("the second time it wrote %q", got)
	}

	f.write("r.avsc", record(field("a", `"string"`)))
	c, files, err := contract.Release(f.dir, f.levels)
	if errs.KindOf(err) != errs.Conflict || len(files) > 0 || !c.Breached() {
		t.Errorf("an incompatible schema: %v, %q", err, files)
	}
	f.write("r.avsc", record(field("a", `"int"`), defaulted("b", `"int"`, "0")))
	if got := f.release(); got != "released/n.v1.R/2.avsc" || f.content(released1) != one {
		t.Errorf("wrote %q", got)
	}
	if got := f.content("released/SHA256SUMS"); !strings.HasPrefix(got, sums) || strings.Count(got, "\n") != 2 {
		t.Errorf("digests:\n%s", got)
	}
	if text := f.content("released/n.v1.R/2.avsc"); !strings.Contains(text, "\n  \"name\": \"n.v1.R\",\n") {
		t.Errorf("the file is not the canonical form, indented:\n%s", text)
	}
}

// Whatever happens to a released file is reported, and nothing is released then.
func TestReleasedFilesDoNotChange(t *testing.T) {
	t.Parallel()
	first, second := record(field("a", `"int"`)), record(field("a", `"int"`), defaulted("b", `"int"`, "0"))
	for name, c := range map[string]struct {
		change func(f *folder)
		want   string
	}{
		"edited": {
			func(f *folder) { f.write(released1, f.content(released1)+"\n") }, released1 + ": was edited after its release; restore it",
		},
		"edited to what the current schema is": {
			func(f *folder) { f.write(released1, second) }, released1 + ": was edited after its release; restore it",
		},
		"deleted":               {func(f *folder) { f.remove(released1) }, released1 + ": is released and missing; restore it"},
		"the digests deleted":   {func(f *folder) { f.remove("released/SHA256SUMS") }, released1 + ": is not in SHA256SUMS"},
		"added":                 {func(f *folder) { f.write("released/n.v1.R/3.avsc", second) }, "released/n.v1.R/3.avsc: is not in SHA256SUMS"},
		"not a version":         {func(f *folder) { f.write("released/n.v1.R/01.avsc", first) }, "released/n.v1.R/01.avsc: is not named SUBJECT/VERSION.avsc"},
		"of another subject":    {func(f *folder) { f.write("released/n.v1.S/1.avsc", first) }, "released/n.v1.S/1.avsc: has the subject n.v1.R"},
		"no schema":             {func(f *folder) { f.write(released1, "{") }, released1 + ": parse schema"},
		"a digest that is none": {func(f *folder) { f.write("released/SHA256SUMS", "x") }, "released/SHA256SUMS: line 1 is not a digest and a file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFolder(t, schema.FullTransitive)
			f.write("r.avsc", first)
			f.release()
			f.write("r.avsc", second)
			f.release()
			c.change(f)
			if got := strings.Join(found(f.read()), "\n"); !strings.Contains(got, c.want) {
				t.Errorf("found\n%s\nwant %s", got, c.want)
			}
			f.write("r.avsc", record(field("a", `"int"`), defaulted("c", `"int"`, "0")))
			if _, files, err := contract.Release(f.dir, f.levels); errs.KindOf(err) != errs.Conflict || len(files) > 0 {
				t.Errorf("released %q, %v", files, err)
			}
		})
	}
}

func TestFoldersThatAreNoContract(t *testing.T) {
	t.Parallel()
	f := newFolder(t, schema.Backward)
	if _, err := contract.Read(f.dir, f.levels); err == nil || !strings.Contains(err.Error(), "no file *.avsc") {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := contract.Read(f.path("none"), f.levels); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	f.write("a.avsc", record())
	f.write("b.avsc", record())
	f.write("c.avsc", `"int"`)
	f.write("d.avsc", `{`)
	want := []string{"b.avsc: has the subject n.v1.R, as a.avsc has", "c.avsc: the schema is of kind int, not a record"}
	got := found(f.read())
	if len(got) != 3 || !strings.HasPrefix(got[2], "d.avsc: parse schema") {
		t.Fatalf("%q", got)
	}
	if diff := cmp.Diff(want, got[:2]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
