package compose

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"eventshop.example/local/process"
)

const resolved = `{"services": {
	"order": {"image": "order:dev", "build": {"context": "."}, "environment": {"A": "1", "B": "2"}, "ports": [{"target": 8080}], "mem_limit": "80m"},
	"kafka": {"image": "kafka"}}}`

func TestOverride(t *testing.T) {
	t.Parallel()
	b, err := Override([]byte(resolved),
		map[string]map[string]string{"order": {"B": "3", "C": "a$b"}, "order-2": {"D": "4"}},
		[]Replica{{Name: "order-2", Of: "order", Ports: map[int]int{8080: 20001}}})
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	const file = `{"services": {
		"order": {"environment": {"B": "3", "C": "a$$b"}},
		"order-2": {"image": "order:dev", "environment": {"A": "1", "B": "3", "C": "a$$b", "D": "4"},
			"ports": ["127.0.0.1:20001:8080"], "mem_limit": "80m"}}}`
	if err := json.Unmarshal([]byte(file), &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %s\nwant %s", b, file)
	}
	if _, err := Override([]byte(resolved), nil, []Replica{{Name: "x-2", Of: "x"}}); err == nil || !strings.Contains(err.Error(), `"x"`) {
		t.Errorf("a replica of nothing: %v", err)
	}
}

func TestWhatBecameOfAContainer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status     string
		code       int
		want       process.State
		runs       bool
		restarting bool
	}{
		{"created", 0, process.Stopped, false, false},
		{"running", 0, process.Running, true, false},
		{"paused", 0, process.Paused, true, false},
		{"exited", 0, process.Stopped, false, false},
		{"exited", 143, process.Stopped, false, false},
		{"exited", 137, process.Dead, false, false},
		{"exited", 1, process.Dead, false, false},
		{"restarting", 0, process.Dead, false, true},
		{"dead", 0, process.Dead, false, false},
	} {
		var i inspected
		i.State.Status, i.State.ExitCode, i.State.Pid = c.status, c.code, 7
		got := i.container()
		if got.State != c.want || (got.PID == 7) != c.runs || got.Restarting != c.restarting {
			t.Errorf("%s with %d: %+v, want %s", c.status, c.code, got, c.want)
		}
	}
}
