package compose

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Docker must not pull the shop's images from a registry in any profile: another user may own the
// name there. A job without a build section shares the image of a service that has one.
func TestOurImagesAreBuiltAndNeverPulled(t *testing.T) {
	f := parse(t)
	built, ours := map[string]bool{}, 0
	for _, c := range f.Services {
		if c.Build["target"] != "" {
			built[c.Image] = true
		}
	}
	for name, c := range f.Services {
		if !c.ours() {
			if c.PullPolicy != "" || c.Build != nil {
				t.Errorf("%s is not ours: pull_policy %q, build %v", name, c.PullPolicy, c.Build)
			}
			continue
		}
		ours++
		if c.PullPolicy != "never" {
			t.Errorf("%s has pull_policy %q, want never", name, c.PullPolicy)
		}
		if !built[c.Image] {
			t.Errorf("no service builds %s, which %s needs", c.Image, name)
		}
		if target := c.Build["target"]; target != "" && !strings.HasPrefix(c.Image, "eventshop/"+target+":") {
			t.Errorf("%s builds %s as %s", name, target, c.Image)
		}
	}
	if ours < 14 {
		t.Errorf("only %d services are ours", ours)
	}
}

// TestCheckoutIsExamined checks that files which containers cannot read, or which have Windows line
// ends, end the start with a message, before a volume is initialised.
func TestCheckoutIsExamined(t *testing.T) {
	if os.Getenv(stackVariable) != "compose" {
		t.Skip("run by scripts/test --on compose")
	}
	if runtime.GOOS != "linux" {
		t.Skip("Docker's own machine opens every file here")
	}
	for _, c := range []struct {
		name   string
		change func(t *testing.T, deploy string)
		says   []string
	}{
		{"as it is", func(*testing.T, string) {}, nil},
		{"closed by a umask of 077", func(t *testing.T, deploy string) { command(t, "chmod", "-R", "go=", deploy) },
			[]string{"order_app_password", "chmod -R a+rX deploy"}},
		{"a closed folder", func(t *testing.T, deploy string) { command(t, "chmod", "0700", filepath.Join(deploy, "kafka")) },
			[]string{"Closed", "chmod -R a+rX deploy"}},
		{"one closed password", func(t *testing.T, deploy string) {
			command(t, "chmod", "0600", filepath.Join(deploy, "secrets", "payment_app_password"))
		}, []string{"payment_app_password"}},
		{"line ends of Windows", func(t *testing.T, deploy string) {
			command(t, "sed", "-i", `s/$/\r/`, filepath.Join(deploy, "kafka", "start.sh"), filepath.Join(deploy, "postgres", "init-roles.sh"))
		}, []string{"deploy/kafka/start.sh", "deploy/postgres/init-roles.sh", "git reset"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			command(t, "chmod", "0755", dir)
			command(t, "cp", "-R", "../../deploy", dir)
			deploy := filepath.Join(dir, "deploy")
			command(t, "chmod", "-R", "a+rX", deploy) // whatever the mode of this checkout
			c.change(t, deploy)
			s := &shop{t: t, project: "eventshop-checkout", file: filepath.Join(deploy, "compose.yaml"), env: os.Environ()}
			t.Cleanup(func() { s.try("down", "--volumes") })
			out, err := s.run("up", "--no-build", "--quiet-pull", "--exit-code-from", "checkout", "checkout")
			if (err == nil) != (c.says == nil) {
				t.Errorf("ended with %v", err)
			}
			for _, want := range c.says {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
			if c.says == nil && (strings.Contains(out, "Closed") || strings.Contains(out, "Windows")) {
				t.Errorf("complains:\n%s", out)
			}
		})
	}
}

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// quiet counts the lines that docker compose up has printed until the first order was confirmed.
// Containers that are not attached print only to their logs.
func (s *shop) quiet() {
	s.t.Helper()
	const most = 250 // some 110 lines, and what a slow machine adds
	shown := 0
	for name, c := range parse(s.t).Services {
		if len(c.Profiles) > 0 || c.Attach != nil && !*c.Attach {
			continue
		}
		out, err := s.run("logs", "--no-log-prefix", name)
		if err != nil {
			s.t.Fatalf("logs of %s: %v\n%s", name, err, out)
		}
		for line := range strings.Lines(out) {
			if !strings.Contains(line, `"msg":"request failed"`) { // of this test, which asks too early
				shown++
			}
		}
	}
	s.t.Logf("docker compose up shows %d lines", shown)
	if shown > most {
		s.t.Errorf("docker compose up shows %d lines, want at most %d", shown, most)
	}
	if out, err := s.run("logs", "--no-log-prefix", "postgres-order"); err != nil || out == "" {
		s.t.Errorf("nothing in the log of postgres-order: %v", err)
	}
}

// TestOnlyDatabasesAreNotAttached checks that a failing job or program prints its reason in the
// terminal of docker compose up. A database's refusals are in the log of the service that sent the
// query.
func TestOnlyDatabasesAreNotAttached(t *testing.T) {
	for name, c := range parse(t).Services {
		if detached := c.Attach != nil && !*c.Attach; detached != strings.HasPrefix(name, "postgres-") {
			t.Errorf("%s is detached: %t", name, detached)
		}
	}
}
