package registry_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/schema"
)

// Replicas of a service start at once and register the same schemas.
func TestRegisteringAtOnceGivesOneID(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	s.mustRegister("other", nullable)
	answers := make([]answer, 20)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			if i%4 == 0 { // concurrent readers
				s.call("GET", "/subjects/s1/versions/latest", nil)
			}
			answers[i] = s.call("POST", fmt.Sprintf("/subjects/s%d/versions", i%2), map[string]string{"schema": base})
		})
	}
	wg.Wait()
	for _, a := range answers {
		if a.status != http.StatusOK || a.raw != `{"id":2}` {
			t.Errorf("%d %s, want id 2", a.status, a.raw)
		}
	}
	for _, subject := range []string{"s0", "s1"} {
		if a := s.call("GET", "/subjects/"+subject+"/versions", nil); a.raw != "[1]" {
			t.Errorf("%s has versions %s, want one", subject, a.raw)
		}
	}
}

// Of two new versions that exclude each other, one is refused.
func TestContradictingVersionsAtOnce(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	var texts [20]string
	for i := range texts {
		texts[i] = strings.Replace(base, `"name":"R"`, fmt.Sprintf(`"name":"R%d"`, i), 1)
	}
	var statuses [len(texts)]int
	var wg sync.WaitGroup
	for i, text := range texts {
		wg.Go(func() { statuses[i] = s.register("s", text).status })
	}
	wg.Wait()
	count := map[int]int{}
	for _, status := range statuses {
		count[status]++
	}
	if diff := cmp.Diff(map[int]int{200: 1, 409: len(texts) - 1}, count); diff != "" {
		t.Errorf("answers by status (-want +got):\n%s", diff)
	}
}

func TestTheServicesClient(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	ctx, client := t.Context(), schema.NewClient(s.url)

	id, err := client.Register(ctx, "team/s", base)
	if err != nil || id != 1 {
		t.Fatalf("register: id %d, %v", id, err)
	}
	if text, err := client.Schema(ctx, id); err != nil || text != base {
		t.Errorf("schema %s, %v", text, err)
	}
	if err := client.SetCompatibility(ctx, "team/s", schema.FullTransitive); err != nil {
		t.Error(err)
	}
	if _, err := client.Register(ctx, "team/s", required); errs.KindOf(err) != errs.Conflict {
		t.Errorf("an incompatible schema: %v of kind %v", err, errs.KindOf(err))
	}
	if _, err := client.Register(ctx, "team/s", optional); err != nil {
		t.Error(err)
	}
	latest, err := client.Latest(ctx, "team/s")
	if diff := cmp.Diff(schema.Version{ID: 2, Version: 2, Schema: optional}, latest); err != nil || diff != "" {
		t.Errorf("%v, latest (-want +got):\n%s", err, diff)
	}
	if names, err := client.Subjects(ctx); err != nil || !cmp.Equal(names, []string{"team/s"}) {
		t.Errorf("subjects %v, %v", names, err)
	}
	if _, err := client.Register(ctx, "s", `{"type":"record"}`); errs.KindOf(err) != errs.Invalid {
		t.Errorf("no schema: %v of kind %v", err, errs.KindOf(err))
	}
	if _, err := client.Schema(ctx, 9999); errs.KindOf(err) != errs.NotFound {
		t.Errorf("an unknown id: %v of kind %v", err, errs.KindOf(err))
	}
	if err := client.SetCompatibility(ctx, "s", "SIDEWAYS"); errs.KindOf(err) != errs.Invalid {
		t.Errorf("an unknown level: %v of kind %v", err, errs.KindOf(err))
	}
}

// The catalogue's schemas, registered twice as the services do at their start.
func TestTheCatalogueIsAccepted(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	for range 2 {
		codec := schema.New(schema.Config{Client: schema.NewClient(s.url), WaitFor: events.Catalogue().Types()})
		if err := codec.Register(t.Context(), events.Catalogue().Types()...); err != nil {
			t.Fatal(err)
		}
		if err := codec.Ready(); err != nil {
			t.Error(err)
		}
	}
	for _, typ := range events.Catalogue().Types() {
		if a := s.call("GET", "/subjects/"+typ.Subject+"/versions", nil); a.raw != "[1]" {
			t.Errorf("%s: %d %s", typ.Subject, a.status, a.raw)
		}
	}
}
