package events_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
)

// registry is a schema registry of the test's own.
type registry struct {
	t testing.TB
	*schematest.Registry
}

func newRegistry(t testing.TB) *registry { return &registry{t: t, Registry: schematest.Start(t)} }

// codec returns a codec of the contract, with a cache of its own.
func (r *registry) codec() *schema.Codec { return r.Codec(events.Catalogue()) }

// add registers a schema unchanged and returns its id.
func (r *registry) add(subject, text string) int {
	r.t.Helper()
	body, err := json.Marshal(map[string]string{"schema": text})
	if err != nil {
		r.t.Fatal(err)
	}
	res, err := http.Post(r.URL+"/subjects/"+subject+"/versions", "application/vnd.schemaregistry.v1+json", bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	var registered struct{ ID int }
	if err := json.NewDecoder(res.Body).Decode(&registered); err != nil || registered.ID == 0 {
		r.t.Fatalf("register %s: %s, %v", subject, res.Status, err)
	}
	return registered.ID
}

// schemas returns all schemas that are registered.
func (r *registry) schemas() []string {
	r.t.Helper()
	var out []string
	for id := 1; ; id++ {
		res, err := http.Get(fmt.Sprintf("%s/schemas/ids/%d", r.URL, id))
		if err != nil {
			r.t.Fatal(err)
		}
		var stored struct{ Schema string }
		err = json.NewDecoder(res.Body).Decode(&stored)
		res.Body.Close()
		switch {
		case res.StatusCode == http.StatusNotFound:
			return out
		case err != nil || res.StatusCode != http.StatusOK:
			r.t.Fatalf("read schema %d: %s, %v", id, res.Status, err)
		}
		out = append(out, stored.Schema)
	}
}
