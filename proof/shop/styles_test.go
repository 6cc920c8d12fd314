package shop

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/ops/verify"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
)

// TestIgnoredIsWhatTheServicesIgnore compares the model with the checker, which a test compares with the
// services' subscription tables: a service ignores what it subscribes to in the choreographed style only.
func TestIgnoredIsWhatTheServicesIgnore(t *testing.T) {
	t.Parallel()
	got := map[string][]string{}
	for _, typ := range events.Catalogue().Types() {
		orchestrated := verify.Acting(typ.Name, event.Orchestrated)
		for _, service := range verify.Acting(typ.Name, event.Choreographed) {
			if !slices.Contains(orchestrated, service) {
				got[service] = append(got[service], typ.Name)
			}
		}
	}
	want := map[string][]string{}
	for service, types := range ignored {
		want[service] = slices.Sorted(slices.Values(types))
	}
	for _, types := range got {
		slices.Sort(types)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ignored (-model +services):\n%s", diff)
	}
}
