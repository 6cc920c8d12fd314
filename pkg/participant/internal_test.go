package participant

import (
	"bytes"
	"testing"

	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/position"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/service"
)

// TestComponentsDecideAboutParts: whether idempotency keys are pruned, and whether the consumer stores
// positions.
func TestComponentsDecideAboutParts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		comps             []postgres.Component
		prunes, positions bool
	}{
		{Components(), false, false},
		{Components(httpapi.IdempotencyComponent()), true, false},
		{Components(position.Component()), false, true},
	} {
		spec := Spec{Components: tt.comps}
		if got := spec.has(httpapi.IdempotencyComponent()); got != tt.prunes {
			t.Errorf("%d components: keys are pruned %t, want %t", len(tt.comps), got, tt.prunes)
		}
		if got := spec.has(position.Component()); got != tt.positions {
			t.Errorf("%d components: positions are stored %t, want %t", len(tt.comps), got, tt.positions)
		}
	}
}

// TestMigrateReadsItsSettings: the job reads the connection's variables and its own. The program's
// list adds its own.
func TestMigrateReadsItsSettings(t *testing.T) {
	t.Parallel()
	read := map[string]bool{}
	env := service.NewEnv(func(name string) (string, bool) { read[name] = true; return "", false })
	if err := migrate(nil).Run(t.Context(), env, &bytes.Buffer{}); err == nil {
		t.Fatal("nothing is set, and that is no error")
	}
	listed := map[string]bool{}
	for _, s := range Settings[Config]() {
		listed[s.Name] = true
	}
	for name := range read {
		if !listed[name] {
			t.Errorf("the job reads %s, which is not listed", name)
		}
	}
	for _, s := range new(migration).roleSettings() {
		if !read[s.Name] {
			t.Errorf("the job does not read %s", s.Name)
		}
	}
}

func TestSettingsCommand(t *testing.T) {
	t.Parallel()
	var addr string
	settings := []service.Setting{service.Required("ADDR", &addr, "host:port")}
	var out bytes.Buffer
	if err := listing(settings).Run(t.Context(), nil, &out); err != nil || out.String() != service.Table(settings) {
		t.Errorf("%v: %s", err, out.String())
	}
}
