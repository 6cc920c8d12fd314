package registry

import (
	"eventshop.example/pkg/schema"
)

// check returns the reasons why text may not follow the earlier versions, which are oldest first,
// at a level. It returns none if text may follow.
func check(level schema.Level, text string, earlier []version) (reasons []string) {
	versions := make([]schema.Version, len(earlier))
	for i, v := range earlier {
		versions[i] = schema.Version{ID: v.ID, Version: v.Version, Schema: v.Schema}
	}
	violations, err := level.Check(text, versions)
	if err != nil {
		return []string{err.Error()}
	}
	for _, v := range violations {
		reasons = append(reasons, v.String())
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
	return check(level, text, earlier), nil
}
