package compose

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"eventshop.example/ops/eventshop"
)

// TestEachServiceHasAllItsParts checks the parts of each service that are in other places than the
// container: its passwords, the volume of its database, its image's stage, and what change data
// capture needs. A start without one of them fails late, or loses the data with the container.
func TestEachServiceHasAllItsParts(t *testing.T) {
	f := parse(t)
	dockerfile, err := os.ReadFile("../../deploy/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	has := func(container string, secrets ...string) {
		t.Helper()
		for _, s := range secrets {
			if !slices.Contains(f.Services[container].Secrets, s) {
				t.Errorf("%s does not get the secret %s", container, s)
			}
		}
	}
	for _, name := range eventshop.Services() {
		migrator, app, cdc := name+"_migrator_password", name+"_app_password", name+"_cdc_password"
		has("migrate-"+name, migrator)
		has(name, app)
		has("postgres-"+name, "postgres_password", migrator, app, cdc)
		has("checkout", migrator, app)
		if volume := "postgres-" + name + ":/var/lib/postgresql/data"; !slices.Contains(f.Services["postgres-"+name].Volumes, volume) {
			t.Errorf("postgres-%s has no volume %s", name, volume)
		}
		if stage := "FROM base AS " + name + "\nCOPY --from=programs /out/" + name + " /" + name + "\n"; !strings.Contains(string(dockerfile), stage) {
			t.Errorf("deploy/Dockerfile has no stage of %s:\n%s", name, stage)
		}
		if !slices.Contains(eventshop.Publishers(), name) {
			continue
		}
		has("connect", cdc)
		has("connectors", cdc)
		awaited, _ := f.Services["connectors"].DependsOn.(map[string]any)
		if awaited[name] == nil {
			t.Errorf("connectors does not wait for %s; it waits for %q", name, slices.Sorted(maps.Keys(awaited)))
		}
	}
}
