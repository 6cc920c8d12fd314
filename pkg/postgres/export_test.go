package postgres

import (
	"maps"
	"slices"
)

// Refused returns the statements that the readiness check examines.
func Refused(r *Refusals) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.refused))
}
