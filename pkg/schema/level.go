package schema

import (
	"fmt"
	"strings"
)

// Level states which data must stay readable when a subject gets a new version.
type Level string

// The levels of Confluent's registry. Those that are not transitive compare a new version with the
// one before only.
const (
	None               Level = "NONE"
	Backward           Level = "BACKWARD" // the new schema reads earlier data; the registry's default
	BackwardTransitive Level = "BACKWARD_TRANSITIVE"
	Forward            Level = "FORWARD" // earlier schemas read new data
	ForwardTransitive  Level = "FORWARD_TRANSITIVE"
	Full               Level = "FULL" // both
	FullTransitive     Level = "FULL_TRANSITIVE"
)

// LevelOf returns the level of the subjects of a topic. A topic that keeps its records for ever
// (*.events) has FullTransitive: projections replay from the first record, and consumers that were
// not updated yet read the newest. Any other topic has Backward.
func LevelOf(topic string) Level {
	if strings.HasSuffix(topic, ".events") {
		return FullTransitive
	}
	return Backward
}

// Valid reports whether a registry knows the level.
func (l Level) Valid() bool {
	switch l {
	case None, Backward, BackwardTransitive, Forward, ForwardTransitive, Full, FullTransitive:
		return true
	}
	return false
}

func (l Level) backward() bool {
	return l == Backward || l == BackwardTransitive || l == Full || l == FullTransitive
}

func (l Level) forward() bool {
	return l == Forward || l == ForwardTransitive || l == Full || l == FullTransitive
}

func (l Level) transitive() bool {
	return l == BackwardTransitive || l == ForwardTransitive || l == FullTransitive
}

// Violation is one reason why a schema may not follow an earlier version of its subject.
type Violation struct {
	Version  int  // the earlier version
	Backward bool // true: the new schema cannot read that version's data; false: the reverse
	Mismatch
}

func (v Violation) String() string {
	if v.Backward {
		return fmt.Sprintf("the new schema cannot read data of version %d: %s", v.Version, v.Mismatch)
	}
	return fmt.Sprintf("version %d cannot read data of the new schema: %s", v.Version, v.Mismatch)
}

// Check returns every reason why a schema may not follow the earlier versions of its subject, which
// are oldest first; none if it may. Of an earlier version only Version and Schema are used. The
// error is of kind errs.Invalid when the schema or one of those that it is compared with is no
// schema.
func (l Level) Check(schema string, earlier []Version) ([]Violation, error) {
	if len(earlier) > 1 && !l.transitive() {
		earlier = earlier[len(earlier)-1:]
	}
	var found []Violation
	for _, old := range earlier {
		if l.backward() {
			all, err := Mismatches(schema, old.Schema)
			if err != nil {
				return nil, err
			}
			for _, m := range all {
				found = append(found, Violation{Version: old.Version, Backward: true, Mismatch: m})
			}
		}
		if l.forward() {
			all, err := Mismatches(old.Schema, schema)
			if err != nil {
				return nil, err
			}
			for _, m := range all {
				found = append(found, Violation{Version: old.Version, Mismatch: m})
			}
		}
	}
	return found, nil
}
