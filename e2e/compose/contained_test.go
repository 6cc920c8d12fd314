package compose

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"eventshop.example/ops/eventshop"
)

// running is the used part of docker inspect for a running container.
type running struct {
	ID           string `json:"Id"`
	RestartCount int
	State        struct {
		Pid       int
		OOMKilled bool
	}
	HostConfig struct {
		Memory int64 // bytes
	}
}

func (s *shop) inspect(service string) running {
	s.t.Helper()
	id, err := s.run("ps", "--quiet", service)
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := exec.Command("docker", "inspect", strings.TrimSpace(id)).Output()
	var all []running
	if err == nil {
		err = json.Unmarshal(out, &all)
	}
	if err != nil || len(all) != 1 || all[0].State.Pid < 2 {
		s.t.Fatalf("container of %s: %v, %+v", service, err, all)
	}
	return all[0]
}

// unreachable skips or fails a part of the test that needs access to the containers' processes.
// That needs root on the engine's own host, as in CI.
func (s *shop) unreachable(err error) {
	s.t.Helper()
	if os.Getenv("CI") == "true" {
		s.t.Fatalf("the processes of containers cannot be reached from here: %v", err)
	}
	s.t.Skipf("the processes of containers cannot be reached from here: %v", err)
}

// crash kills a container's first process with SIGKILL, from the host.
func (s *shop) crash(service string) {
	s.t.Helper()
	p, err := os.FindProcess(s.inspect(service).State.Pid)
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		s.unreachable(err)
	}
}

// stays returns the containers that keep running, with their limits in MB.
func (s *shop) stays() map[string]int {
	limits := map[string]int{}
	for name, c := range parse(s.t).Services {
		if c.stays() && len(c.Profiles) == 0 {
			limits[name], _ = strconv.Atoi(strings.TrimSuffix(c.MemLimit, "m")) // TestMemoryIsLimited checks the form
		}
	}
	return limits
}

// contained checks the kernel's view of the shop's processes: their users, their capabilities, and
// where they can write.
func (s *shop) contained() {
	for _, name := range append(eventshop.Services(), eventshop.Outside()...) {
		proc := fmt.Sprintf("/proc/%d", s.inspect(name).State.Pid)
		status, err := os.ReadFile(filepath.Join(proc, "status"))
		if err != nil {
			s.unreachable(err)
		}
		for key, want := range map[string]string{
			"Uid": "65532 65532 65532 65532", "Gid": "65532 65532 65532 65532", "NoNewPrivs": "1",
			"CapInh": none, "CapPrm": none, "CapEff": none, "CapBnd": none, "CapAmb": none,
		} {
			if got := field(string(status), key); got != want {
				s.t.Errorf("%s has %s %q, want %q", name, key, got, want)
			}
		}
		err = writes(filepath.Join(proc, "root", "probe"))
		if errors.Is(err, os.ErrPermission) {
			s.unreachable(err)
		}
		if !errors.Is(err, syscall.EROFS) {
			s.t.Errorf("%s: a write to its root file system ends with %v, want %v", name, err, syscall.EROFS)
		}
		if name == "gateway" { // its volume, which shows that the probe works
			if err := writes(filepath.Join(proc, "root", "data", "probe")); err != nil {
				s.t.Errorf("%s cannot write to its volume: %v", name, err)
			}
		}
	}
}

// none is an empty set of capabilities.
const none = "0000000000000000"

// field returns a line's value in /proc/PID/status.
func field(status, key string) string {
	for line := range strings.Lines(status) {
		if value, ok := strings.CutPrefix(line, key+":"); ok {
			return strings.Join(strings.Fields(value), " ")
		}
	}
	return ""
}

// writes tries to create a file, and removes it.
func writes(path string) error {
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	return os.Remove(path)
}

// fits checks that the limits are those of the file and that no process reached its limit.
func (s *shop) fits() {
	for name, limit := range s.stays() {
		c := s.inspect(name)
		if c.HostConfig.Memory != int64(limit)<<20 {
			s.t.Errorf("%s may use %d bytes, want %d MB", name, c.HostConfig.Memory, limit)
		}
		// The registry's stand-in ends by itself when Kafka does not take its records in time.
		if c.State.OOMKilled || c.RestartCount > 0 && name != "registry" {
			s.t.Errorf("%s: killed for its memory: %t; restarted %d times", name, c.State.OOMKilled, c.RestartCount)
		}
	}
	out, err := exec.Command("docker", "stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}").Output()
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, s.project+"-") {
			s.t.Log(strings.TrimSpace(line))
		}
	}
}
