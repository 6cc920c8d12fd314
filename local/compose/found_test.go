package compose

import (
	"encoding/json"
	"maps"
	"reflect"
	"testing"
)

func TestFoundProjects(t *testing.T) {
	t.Parallel()
	const lines = "shop-b\t/r/deploy/compose.yaml,/s/compose.override.json\texited\n" +
		"eventshop\t/r/deploy/compose.yaml\trunning\n" +
		"eventshop\t/r/deploy/compose.yaml\texited\n" +
		"eventshop\t/r/deploy/compose.yaml,/s/compose.override.json\trunning\n" +
		"no tabs\n"
	want := []Found{
		{Name: "eventshop", Running: 2, Configs: [][]string{{"/r/deploy/compose.yaml"}, {"/r/deploy/compose.yaml", "/s/compose.override.json"}}},
		{Name: "shop-b", Configs: [][]string{{"/r/deploy/compose.yaml", "/s/compose.override.json"}}},
	}
	if got := found(lines); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// A port is known while the container runs, and otherwise from its settings.
func TestWhereAContainerListens(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		inspected string
		want      map[int]int
	}{
		"runs": {`{"NetworkSettings": {"Ports": {"8080/tcp": [{"HostPort": "9001"}], "9080/tcp": null}},
			"HostConfig": {"PortBindings": {"8080/tcp": [{"HostPort": "0"}]}}}`, map[int]int{8080: 9001}},
		"stopped": {`{"NetworkSettings": {"Ports": {}},
			"HostConfig": {"PortBindings": {"8080/tcp": [{"HostPort": "9001"}], "9080/tcp": [{"HostPort": "9181"}]}}}`, map[int]int{8080: 9001, 9080: 9181}},
		"by any port":   {`{"HostConfig": {"PortBindings": {"8080/tcp": [{"HostPort": ""}]}}}`, map[int]int{}},
		"another world": {`{"NetworkSettings": {"Ports": {"53/udp": [{"HostPort": "53"}]}}}`, map[int]int{}},
	} {
		var i inspected
		if err := json.Unmarshal([]byte(c.inspected), &i); err != nil {
			t.Fatal(err)
		}
		if got := i.container().Published; !maps.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}
