// Package contract compares the schemas of a folder with their released versions. It needs neither a
// registry nor a network.
//
// The folder has the current schemas in files *.avsc, one record each, in folders of any depth, and
// below "released" what was released of each subject:
//
//	order/order_rated.avsc                        the current schema; its path has no meaning
//	released/eventshop.order.v1.OrderRated/1.avsc the versions, from 1, in canonical form
//	released/SHA256SUMS                           their digests, as sha256sum writes them
//
// # What it guarantees
//
// A subject without breaches has a schema that a registry accepts at the subject's level after all
// released versions, because the embedded registry decides by the same code (pkg/schema). A released
// file that was edited, deleted or added by hand is reported. [Release] never overwrites a file.
//
// # What it does not
//
// An edit of a released file together with its digest is not noticed. A registry to which something
// else was registered may decide differently.
//
// # How it fails
//
// What is wrong with the contract is in the [Contract]. An error means that the folder cannot be
// read or written; that of Release is of kind errs.Conflict when the contract does not allow it.
package contract

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"eventshop.example/pkg/schema"
)

// Contract is what a folder declares, beside what was released.
type Contract struct {
	Subjects []Subject `json:"subjects"` // by name
	Faults   []Fault   `json:"faults"`   // of files, by name
}

// Fault is something wrong with a file.
type Fault struct {
	File   string `json:"file"` // slash-separated, relative to the folder
	Reason string `json:"reason"`
}

func (f Fault) String() string { return f.File + ": " + f.Reason }

// State is what became of a subject since its newest release.
type State string

const (
	Released   State = "released"   // the current schema is a released version
	Documented State = "documented" // only its docs differ from a released version's
	New        State = "new"        // no version is released
	Changed    State = "changed"    // the current schema is a version that is not released
	Removed    State = "removed"    // versions are released, and no file has the subject
)

// Subject is one record with its versions.
type Subject struct {
	Name     string       `json:"subject"`        // the record's fully-qualified name
	File     string       `json:"file,omitempty"` // of the current schema, relative to the folder
	Level    schema.Level `json:"level"`
	State    State        `json:"state"`
	Version  int          `json:"version"` // of the current schema: the released one, or the next; 0 of a removed subject
	Breaches []Breach     `json:"breaches"`

	text     string // the current schema in canonical form; "" of a removed subject
	released []schema.Version
}

// Breach is one reason why a current schema may not become its subject's next version.
type Breach struct {
	Path   string `json:"path"` // as of a [schema.Mismatch]
	Reason string `json:"reason"`
	Reader string `json:"reader,omitempty"` // "current" or "version N"
	Writer string `json:"writer,omitempty"`
}

func (b Breach) String() string {
	if b.Reader == "" {
		return b.Path + ": " + b.Reason
	}
	return fmt.Sprintf("%s: %s (reader: %s, writer: %s)", b.Path, b.Reason, b.Reader, b.Writer)
}

// Breached reports whether the contract has a breach or a fault.
func (c *Contract) Breached() bool {
	return len(c.Faults) > 0 || slices.ContainsFunc(c.Subjects, func(s Subject) bool { return len(s.Breaches) > 0 })
}

// Unreleased returns the subjects whose current schema is not released.
func (c *Contract) Unreleased() []Subject {
	var all []Subject
	for _, s := range c.Subjects {
		if s.State == New || s.State == Changed {
			all = append(all, s)
		}
	}
	return all
}

// Read reads a folder and compares the current schemas with the released ones. level returns the
// compatibility level of a subject.
func Read(dir string, level func(subject string) schema.Level) (*Contract, error) {
	c := &Contract{Faults: []Fault{}}
	all, err := c.readCurrent(dir)
	if err != nil {
		return nil, err
	}
	released, err := c.readReleased(dir)
	if err != nil {
		return nil, err
	}
	for name, versions := range released {
		if all[name] == nil {
			all[name] = &Subject{Name: name}
		}
		all[name].released = versions
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		s := all[name]
		s.Level = level(name)
		if err := s.compare(); err != nil {
			return nil, err
		}
		c.Subjects = append(c.Subjects, *s)
	}
	slices.SortFunc(c.Faults, func(a, b Fault) int { return strings.Compare(a.String(), b.String()) })
	return c, nil
}

func (c *Contract) fault(file, format string, args ...any) {
	c.Faults = append(c.Faults, Fault{file, fmt.Sprintf(format, args...)})
}

// readCurrent returns the subjects that have a current schema.
func (c *Contract) readCurrent(dir string) (map[string]*Subject, error) {
	all := map[string]*Subject{}
	files := 0
	err := fs.WalkDir(os.DirFS(dir), ".", func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && file == releasedDir:
			return fs.SkipDir
		case d.IsDir() || path.Ext(file) != extension:
			return nil
		}
		files++
		content, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(file)))
		if err != nil {
			return err
		}
		name, err := schema.Subject(string(content))
		if err != nil {
			c.fault(file, "%v", err)
			return nil
		}
		if first := all[name]; first != nil {
			c.fault(file, "has the subject %s, as %s has", name, first.File)
			return nil
		}
		text, err := schema.Canonical(string(content))
		all[name] = &Subject{Name: name, File: file, text: text}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the schemas: %w", err)
	}
	if files == 0 {
		return nil, fmt.Errorf("read the schemas: %s has no file *%s", dir, extension)
	}
	return all, nil
}

// compare sets what follows from the current schema and the released versions.
func (s *Subject) compare() error {
	s.Breaches = []Breach{}
	if len(s.released) == 0 {
		s.State, s.Version = New, 1
		return nil
	}
	newest := s.released[len(s.released)-1].Version
	if s.text == "" {
		s.State = Removed
		s.Breaches = append(s.Breaches, Breach{Path: s.Name, Reason: fmt.Sprintf("version %d is released, and no file has the subject any more", newest)})
		return nil
	}
	s.State, s.Version = Changed, newest+1
	plain, err := schema.Undocumented(s.text)
	if err != nil {
		return err
	}
	for _, v := range s.released {
		old, err := schema.Undocumented(v.Schema)
		switch {
		case err != nil:
			return err
		case v.Schema == s.text:
			s.State, s.Version = Released, v.Version
		case old == plain:
			s.State, s.Version = Documented, v.Version
		}
	}
	violations, err := s.Level.Check(s.text, s.released)
	if err != nil {
		return err
	}
	for _, v := range violations {
		b := Breach{Path: v.Path, Reason: v.Reason, Reader: "current", Writer: fmt.Sprintf("version %d", v.Version)}
		if !v.Backward {
			b.Reader, b.Writer = b.Writer, b.Reader
		}
		s.Breaches = append(s.Breaches, b)
	}
	return nil
}
