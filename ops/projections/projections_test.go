package projections_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/ops/operators"
	"eventshop.example/ops/projections"
	"eventshop.example/pkg/operator"
	"eventshop.example/pkg/operator/operatorapi"
)

// service answers for a service whose version 2 of the revenue goes through the states, one per question.
type service struct {
	operatorapi.Unimplemented
	states []operatorapi.ProjectionVersionState
	asked  int
}

func (s *service) versions() operatorapi.Projections {
	state := s.states[min(s.asked, len(s.states)-1)]
	s.asked++
	return operatorapi.Projections{Versions: []operatorapi.ProjectionVersion{{Projection: "revenue", Version: 2, State: state, Done: int64(s.asked), Total: 9}}}
}

func (s *service) ListProjections(w http.ResponseWriter, _ *http.Request) {
	_ = json.NewEncoder(w).Encode(s.versions())
}

func (s *service) GetProjection(w http.ResponseWriter, _ *http.Request, _ operatorapi.Projection) {
	_ = json.NewEncoder(w).Encode(s.versions())
}

// none answers for a service without read models.
type none struct{ operatorapi.Unimplemented }

func (none) ListProjections(w http.ResponseWriter, _ *http.Request) {
	_ = json.NewEncoder(w).Encode(operatorapi.Projections{Versions: []operatorapi.ProjectionVersion{}})
}

func fleet(t *testing.T, s *service) *operators.Fleet {
	t.Helper()
	urls := map[string]string{}
	for name, api := range map[string]operatorapi.ServerInterface{"payment": none{}, "projection": s} {
		routes, err := operator.Routes(api, prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(routes)
		t.Cleanup(server.Close)
		urls[name] = server.URL
	}
	return operators.NewFleet(urls, "ada")
}

func TestFind(t *testing.T) {
	t.Parallel()
	f := fleet(t, &service{states: []operatorapi.ProjectionVersionState{operators.Live}})
	if g, err := projections.Find(t.Context(), f, "revenue"); err != nil || g.Name != "projection" {
		t.Errorf("%s, %v", g.Name, err)
	}
	if _, err := projections.Find(t.Context(), f, "income"); err == nil || !strings.Contains(err.Error(), "there are [revenue]") {
		t.Errorf("of another name: %v", err)
	}
	if all, failed := projections.Versions(t.Context(), f); len(all) != 1 || len(failed) != 0 {
		t.Errorf("%+v, %v", all, failed)
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	s := &service{states: []operatorapi.ProjectionVersionState{operators.Filling, operators.Filling, operators.Following}}
	g, err := fleet(t, s).Group("projection")
	if err != nil {
		t.Fatal(err)
	}
	var seen []int64
	v, err := projections.Watch(t.Context(), g, "revenue", 2, func(v operators.ProjectionVersion) { seen = append(seen, v.Done) })
	if err != nil || v.State != operators.Following {
		t.Errorf("%+v, %v", v, err)
	}
	if diff := cmp.Diff([]int64{1, 2, 3}, seen); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
	if _, err := projections.Watch(t.Context(), g, "revenue", 7, func(operators.ProjectionVersion) {}); err == nil {
		t.Error("a version that does not exist is watched")
	}
}
