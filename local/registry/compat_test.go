package registry_test

import (
	"net/http"
	"strings"
	"testing"
)

// The evolutions of the tables below. Each is from one version to the next.
var (
	base      = record(field("id", `"string"`))
	optional  = record(field("id", `"string"`), defaulted("note", `"string"`, `""`))
	required  = record(field("id", `"string"`), field("note", `"string"`))
	widened   = record(field("id", `"string"`), field("n", `"long"`))
	narrow    = record(field("id", `"string"`), field("n", `"int"`))
	renamed   = strings.Replace(base, `"name":"R"`, `"name":"Other"`, 1)
	retyped   = record(field("id", `"long"`))
	nullable  = record(field("id", `["null","string"]`))
	symbolsAB = record(field("e", `{"type":"enum","name":"E","symbols":["A","B"]}`))
	symbolsA  = record(field("e", `{"type":"enum","name":"E","symbols":["A"]}`))
)

func TestLevels(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		from, to string
		backward bool // the new schema reads old data
		forward  bool // the old schema reads new data
	}{
		{"optional field added", base, optional, true, true},
		{"optional field removed", optional, base, true, true},
		{"required field added", base, required, false, true},
		{"required field removed", required, base, true, false},
		{"default added to a field", required, optional, true, true},
		{"int becomes long", narrow, widened, true, false},
		{"long becomes int", widened, narrow, false, true},
		{"field becomes nullable", base, nullable, true, false},
		{"symbol added", symbolsA, symbolsAB, true, false},
		{"symbol removed", symbolsAB, symbolsA, false, true},
		{"record renamed", base, renamed, false, false},
		{"type changed", base, retyped, false, false},
		{"nothing in common but the name", base, narrow, false, true},
	} {
		for level, ok := range map[string]bool{
			"NONE":                true,
			"BACKWARD":            c.backward,
			"BACKWARD_TRANSITIVE": c.backward,
			"FORWARD":             c.forward,
			"FORWARD_TRANSITIVE":  c.forward,
			"FULL":                c.backward && c.forward,
			"FULL_TRANSITIVE":     c.backward && c.forward,
		} {
			t.Run(c.name+"/"+level, func(t *testing.T) {
				t.Parallel()
				s := open(t, t.TempDir())
				s.setLevel("", level)
				s.mustRegister("s", c.from)
				check := s.call("POST", "/compatibility/subjects/s/versions/latest?verbose=true", map[string]string{"schema": c.to})
				if check.body["is_compatible"] != ok {
					t.Errorf("check: %s, want compatible %v", check.raw, ok)
				}
				a := s.register("s", c.to)
				if ok && a.status != http.StatusOK {
					t.Errorf("%d %s", a.status, a.raw)
				}
				if !ok {
					s.want(a, http.StatusConflict, 409)
					if !strings.Contains(a.raw, level) || !strings.Contains(a.raw, "version 1") {
						t.Errorf("the reason names neither level nor version: %s", a.raw)
					}
					if reasons, _ := check.body["messages"].([]any); len(reasons) == 0 {
						t.Errorf("no reasons: %s", check.raw)
					}
				}
			})
		}
	}
}

// Each version is compatible with its predecessor, but the third is not compatible with the first.
func TestTransitiveLevelsLookFurtherBack(t *testing.T) {
	t.Parallel()
	first := record(field("id", `"string"`))
	second := record(field("id", `"string"`), defaulted("n", `"long"`, "0"))
	thirdBackward := record(field("id", `"string"`), field("n", `"long"`)) // the default is gone: cannot read the first
	for level, ok := range map[string]bool{"BACKWARD": true, "BACKWARD_TRANSITIVE": false, "FULL": true, "FULL_TRANSITIVE": false} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			s := open(t, t.TempDir())
			s.setLevel("s", level)
			s.mustRegister("s", first)
			s.mustRegister("s", second)
			if a := s.register("s", thirdBackward); (a.status == http.StatusOK) != ok {
				t.Errorf("%d %s, want accepted %v", a.status, a.raw, ok)
			}
		})
	}
	for level, ok := range map[string]bool{"FORWARD": true, "FORWARD_TRANSITIVE": false} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			s := open(t, t.TempDir())
			s.setLevel("s", level)
			s.mustRegister("s", thirdBackward)
			s.mustRegister("s", second)
			if a := s.register("s", first); (a.status == http.StatusOK) != ok { // the first reader needs n
				t.Errorf("%d %s, want accepted %v", a.status, a.raw, ok)
			}
		})
	}
}

func TestASubjectsLevelWinsOverTheGlobalOne(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	if a := s.call("GET", "/config", nil); a.body["compatibilityLevel"] != "BACKWARD" {
		t.Errorf("the default is %s", a.raw)
	}
	s.want(s.call("GET", "/config/s", nil), http.StatusNotFound, 40408)
	if a := s.call("GET", "/config/s?defaultToGlobal=true", nil); a.body["compatibilityLevel"] != "BACKWARD" {
		t.Error(a.raw)
	}
	s.setLevel("s", "NONE")
	if a := s.call("GET", "/config/s", nil); a.body["compatibilityLevel"] != "NONE" {
		t.Error(a.raw)
	}
	s.mustRegister("s", base)
	s.mustRegister("s", retyped)
	s.mustRegister("other", base)
	s.want(s.register("other", retyped), http.StatusConflict, 409)
	s.want(s.call("PUT", "/config/s", map[string]string{"compatibility": "SIDEWAYS"}), http.StatusUnprocessableEntity, 42203)
}
