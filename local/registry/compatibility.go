package registry

import (
	"fmt"

	"eventshop.example/pkg/schema"
)

// Level states which data must stay readable when a subject gets a new version.
type Level string

// Levels of Confluent's registry. Those that are not transitive compare only with the latest
// version.
const (
	None               Level = "NONE"
	Backward           Level = "BACKWARD" // the new schema reads old data
	BackwardTransitive Level = "BACKWARD_TRANSITIVE"
	Forward            Level = "FORWARD" // old schemas read new data
	ForwardTransitive  Level = "FORWARD_TRANSITIVE"
	Full               Level = "FULL" // both
	FullTransitive     Level = "FULL_TRANSITIVE"
)

func (l Level) valid() bool {
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

// check returns the reasons why text may not follow the earlier versions, which are oldest first.
// It returns none if text may follow.
func (l Level) check(text string, earlier []version) (reasons []string) {
	if len(earlier) > 1 && !l.transitive() {
		earlier = earlier[len(earlier)-1:]
	}
	for _, old := range earlier {
		if l.backward() {
			if err := schema.Compatible(text, old.Schema); err != nil {
				reasons = append(reasons, fmt.Sprintf("the new schema cannot read data of version %d: %v", old.Version, err))
			}
		}
		if l.forward() {
			if err := schema.Compatible(old.Schema, text); err != nil {
				reasons = append(reasons, fmt.Sprintf("version %d cannot read data of the new schema: %v", old.Version, err))
			}
		}
	}
	return reasons
}

// tryVersion checks text against one version of a subject or, if number is "", against the versions
// that a registration would be checked against.
func (r *Registry) tryVersion(subject, number, text string) (reasons []string, err error) {
	if _, err := schema.Canonical(text); err != nil {
		return nil, invalidSchema(err)
	}
	var earlier []version
	if number == "" {
		earlier, err = r.versions(subject)
	} else {
		var n int
		if n, err = parseVersion(number); err == nil {
			var v version
			v, err = r.version(subject, n)
			earlier = []version{v}
		}
	}
	if err != nil {
		return nil, err
	}
	r.mu.RLock()
	level := r.level(subject)
	r.mu.RUnlock()
	return level.check(text, earlier), nil
}
