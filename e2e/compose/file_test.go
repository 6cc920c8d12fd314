package compose

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"eventshop.example/ops/eventshop"
)

// file is the part of deploy/compose.yaml that these tests read. They need no Docker.
type file struct {
	Services map[string]container
	Secrets  map[string]struct{ File string }
	Volumes  map[string]any
}

type container struct {
	Image       string
	PullPolicy  string `yaml:"pull_policy"`
	Build       map[string]string
	Restart     string
	Attach      *bool
	User        string
	Privileged  bool
	Profiles    []string
	Ports       []string
	Volumes     []string
	Secrets     []string
	Environment map[string]string
	Healthcheck struct{ Test []string }
	ReadOnly    bool     `yaml:"read_only"`
	CapDrop     []string `yaml:"cap_drop"`
	CapAdd      []string `yaml:"cap_add"`
	SecurityOpt []string `yaml:"security_opt"`
	MemLimit    string   `yaml:"mem_limit"`
	DependsOn   any      `yaml:"depends_on"`
}

func parse(t *testing.T) file {
	t.Helper()
	b, err := os.ReadFile("../../deploy/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var f file
	if err := yaml.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	if len(f.Services) < 20 {
		t.Fatalf("%d services read", len(f.Services))
	}
	return f
}

func (c container) ours() bool { return strings.HasPrefix(c.Image, "eventshop/") }

// stays reports whether a container keeps running, that is, is not a job.
func (c container) stays() bool { return c.Restart == "unless-stopped" }

// pinned matches a tag with a version, including the patch if there is one.
var pinned = regexp.MustCompile(`^[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?(\.Final)?$`)

func TestImagesArePinned(t *testing.T) {
	for name, c := range parse(t).Services {
		if !pinned.MatchString(c.Image) && !(c.ours() && strings.HasSuffix(c.Image, ":${EVENTSHOP_VERSION:-dev}")) {
			t.Errorf("%s has image %q", name, c.Image)
		}
	}
	b, err := os.ReadFile("../../deploy/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	stages := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^FROM (?:--platform=\S+ )?(\S+) AS (\S+)$`).FindAllStringSubmatch(string(b), -1) {
		// The base image publishes no versions.
		if from := m[1]; !stages[from] && !pinned.MatchString(from) && from != "gcr.io/distroless/static-debian12:nonroot" {
			t.Errorf("Dockerfile: stage %s is from %q", m[2], from)
		}
		stages[m[2]] = true
	}
	if len(stages) < 10 {
		t.Errorf("Dockerfile: stages %v", stages)
	}
}

// The limits of containers that run at the same time: jobs have ended when the services start.
func TestMemoryIsLimited(t *testing.T) {
	sum := map[bool]int{} // MB, with what the profile cdc adds and without
	for name, c := range parse(t).Services {
		mb, err := strconv.Atoi(strings.TrimSuffix(c.MemLimit, "m"))
		if err != nil {
			t.Errorf("%s has mem_limit %q, want megabytes such as 64m", name, c.MemLimit)
		}
		if !c.stays() {
			continue
		}
		sum[true] += mb
		if !slices.Contains(c.Profiles, "cdc") {
			sum[false] += mb
		}
	}
	t.Logf("%d MB, with profile cdc %d MB", sum[false], sum[true])
	if sum[false] > 3050 || sum[true] > 3750 {
		t.Errorf("%d MB, with profile cdc %d MB; want at most 3050 and 3750", sum[false], sum[true])
	}
}

func TestPortsAreOnLoopbackAndCanBeMoved(t *testing.T) {
	port := regexp.MustCompile(`^127\.0\.0\.1:\$\{([A-Z_]+_PORT):-(\d+)\}:\d+$`)
	variables, hosts := map[string]bool{}, map[string]string{}
	for name, c := range parse(t).Services {
		for _, p := range c.Ports {
			m := port.FindStringSubmatch(p)
			if m == nil {
				t.Errorf("%s publishes %q", name, p)
				continue
			}
			variables[m[1]] = true
			if other := hosts[m[2]]; other != "" {
				t.Errorf("%s and %s are both on %s", name, other, m[2])
			}
			hosts[m[2]] = name
		}
	}
	for _, v := range listeners() { // the test of the containers would otherwise use the default ports
		if !variables[v] {
			t.Errorf("no port is moved by %s", v)
		}
		delete(variables, v)
	}
	if len(variables) > 0 {
		t.Errorf("the test of the containers does not move %v", variables)
	}
}

func TestPrivilegesAreDropped(t *testing.T) {
	for name, c := range parse(t).Services {
		if c.Privileged || len(c.CapAdd) > 0 {
			t.Errorf("%s is privileged, or gets capabilities %v", name, c.CapAdd)
		}
		if !slices.Contains(c.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s may get new privileges", name)
		}
		if c.ours() && (!c.ReadOnly || c.User != "65532:65532" || !slices.Equal(c.CapDrop, []string{"ALL"})) {
			t.Errorf("%s: read_only %v, user %q, cap_drop %v", name, c.ReadOnly, c.User, c.CapDrop)
		}
	}
}

// Every container that keeps running is restarted automatically and reports whether it is ready.
// Containers that depend on others wait for them.
func TestHealthIsAskedAndAwaited(t *testing.T) {
	unasked := map[string]string{
		"registry": "its image has a check of its own, and registry-ready asks from outside",
		"load":     "nobody waits for it",
	}
	f := parse(t)
	for name, c := range f.Services {
		// A restart cannot repair a checkout that containers cannot read.
		if !c.stays() && c.Restart != "on-failure" && (name != "checkout" || c.Restart != "no") {
			t.Errorf("%s has restart %q", name, c.Restart)
		}
		if c.stays() && len(c.Healthcheck.Test) < 2 && unasked[name] == "" {
			t.Errorf("%s has no health check", name)
		}
		conditions, ok := c.DependsOn.(map[string]any)
		if !ok {
			if c.stays() && c.DependsOn != nil {
				t.Errorf("%s does not say what it waits for: %v", name, c.DependsOn)
			}
			continue
		}
		for other, condition := range conditions {
			o, known := f.Services[other]
			want := "map[condition:service_healthy]"
			if !o.stays() {
				want = "map[condition:service_completed_successfully]"
			}
			if got := fmt.Sprint(condition); !known || got != want {
				t.Errorf("%s waits for %s: %s, want %s", name, other, got, want)
			}
		}
	}
	for _, name := range eventshop.Services() {
		conditions, _ := f.Services[name].DependsOn.(map[string]any)
		for _, other := range []string{"migrate-" + name, "topics", "registry-ready"} {
			if conditions[other] == nil {
				t.Errorf("%s does not wait for %s", name, other)
			}
		}
	}
}

func TestSecretsAreFilesThatCanBeReplaced(t *testing.T) {
	f := parse(t)
	used := map[string]bool{}
	for name, c := range f.Services {
		for _, s := range c.Secrets {
			if used[s] = true; f.Secrets[s].File == "" {
				t.Errorf("%s uses secret %s, which is nowhere", name, s)
			}
		}
		for key, value := range c.Environment {
			file := strings.HasPrefix(value, "/run/secrets/") || strings.HasPrefix(value, "$${dir:/tmp/secrets:")
			if strings.Contains(key, "PASSWORD") && !file {
				t.Errorf("%s has %s=%s", name, key, value)
			}
			if regexp.MustCompile(`://[^/@]*:[^/@]*@`).MatchString(value) {
				t.Errorf("%s has a password in %s", name, key)
			}
		}
		// A service has its own password and no other.
		own := func(s string) bool { return name == "connectors" && strings.HasSuffix(s, "_cdc_password") }
		if c.ours() && len(c.Secrets) > 1 && !slices.ContainsFunc(c.Secrets, own) {
			t.Errorf("%s gets the secrets %v", name, c.Secrets)
		}
	}
	for name, s := range f.Secrets {
		if s.File != "${EVENTSHOP_SECRETS:-./secrets}/"+name {
			t.Errorf("secret %s is %s", name, s.File)
		}
		if !used[name] {
			t.Errorf("nobody uses secret %s", name)
		}
		b, err := os.ReadFile(filepath.Join("../../deploy/secrets", name))
		if err != nil || !strings.Contains(string(b), "demo") {
			t.Errorf("demo secret %s: %q %v", name, b, err)
		}
	}
}

func TestVolumesAreNamedAndEachIsOnes(t *testing.T) {
	f := parse(t)
	users := map[string][]string{}
	for name, c := range f.Services {
		for _, v := range c.Volumes {
			source, target, _ := strings.Cut(v, ":")
			if _, named := f.Volumes[source]; named {
				users[source] = append(users[source], name)
			} else if !strings.HasPrefix(source, "./") || !strings.HasSuffix(target, ":ro") {
				t.Errorf("%s has volume %q", name, v)
			}
		}
	}
	for name := range f.Volumes {
		if len(users[name]) != 1 {
			t.Errorf("volume %s is used by %v", name, users[name])
		}
	}
}
