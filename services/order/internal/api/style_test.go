package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// open says that every participant knows both styles.
func (f *fixture) open(ready bool) {
	f.t.Helper()
	reason := "shipping is old"
	if ready {
		reason = ""
	}
	if _, err := f.pool.Exec(f.t.Context(), `UPDATE saga_style SET ready = $1, reason = $2`, ready, reason); err != nil {
		f.t.Fatal(err)
	}
	if _, err := f.app.GetSagaStyle(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

func asking(style string) string {
	return strings.Replace(cart, `{`, `{"saga": "`+style+`", `, 1)
}

// TestStyleOfAnOrder: a request names the style, or the ramp decides. The order shows it, and so do the
// list of sagas and the history.
func TestStyleOfAnOrder(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ready   bool
		percent string
		body    string
		status  int
		want    string // the style; of a refusal, the type of the problem
	}{
		"no style":                              {true, "0", cart, http.StatusCreated, "choreographed"},
		"the ramp decides":                      {true, "100", cart, http.StatusCreated, "orchestrated"},
		"orchestrated":                          {true, "0", asking("orchestrated"), http.StatusCreated, "orchestrated"},
		"choreographed, against the ramp":       {true, "100", asking("choreographed"), http.StatusCreated, "choreographed"},
		"orchestrated, behind the closed gate":  {false, "0", asking("orchestrated"), http.StatusConflict, "not-orchestrated"},
		"choreographed, behind the closed gate": {false, "0", asking("choreographed"), http.StatusCreated, "choreographed"},
		"another style":                         {true, "0", asking("improvised"), http.StatusUnprocessableEntity, ""},
		"an empty style":                        {true, "0", asking(""), http.StatusUnprocessableEntity, ""},
		"a draft that names one":                {true, "0", strings.Replace(draft, `{`, `{"saga": "orchestrated", `, 1), http.StatusUnprocessableEntity, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.open(c.ready)
			if a := f.do("PUT", "/sagas/style", `{"orchestratedPercent": `+c.percent+`}`); a.Status != http.StatusOK {
				t.Fatalf("PUT /sagas/style: %d %s", a.Status, a.Text)
			}
			a := f.do("POST", "/orders", c.body, "Idempotency-Key", "k")
			if a.Status != c.status {
				t.Fatalf("%d %s, want %d", a.Status, a.Text, c.status)
			}
			switch c.status {
			case http.StatusUnprocessableEntity:
				if !strings.Contains(strings.Join(a.fields(), " "), "saga") {
					t.Errorf("the fault is not named: %s", a.Text)
				}
				return
			case http.StatusConflict:
				if problem, _ := a.Body["type"].(string); !strings.HasSuffix(problem, c.want) || a.Body["detail"] != "shipping is old" {
					t.Errorf("%s", a.Text)
				}
				f.nothingWritten()
				f.open(true) // the key is free: the order is accepted when it can be
				if again := f.do("POST", "/orders", c.body, "Idempotency-Key", "k"); again.Status != http.StatusCreated {
					t.Errorf("behind the open gate: %d %s", again.Status, again.Text)
				}
				return
			}
			id := a.Body["orderId"].(string)
			if a.Body["saga"] != c.want {
				t.Errorf("saga %v, want %s", a.Body["saga"], c.want)
			}
			if got := f.do("GET", "/orders/"+id, ""); got.Body["saga"] != c.want {
				t.Errorf("GET /orders: %s", got.Text)
			}
			rows := f.do("GET", "/sagas", "").Body["sagas"].([]any)
			if len(rows) != 1 || rows[0].(map[string]any)["saga"] != c.want {
				t.Errorf("GET /sagas: %v", rows)
			}
			if got := f.do("GET", "/orders/"+id+"/events", ""); !strings.Contains(got.Text, `"saga":"`+c.want+`"`) || !strings.Contains(got.Text, `"orderId":"`+id+`"`) {
				t.Errorf("GET /orders/{id}/events: %s", got.Text)
			}
		})
	}
}

// TestStyleOfADraft: it is chosen when the draft is placed.
func TestStyleOfADraft(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	complete := strings.Replace(cart, `{`, `{"draft": true, `, 1)
	complete = strings.Replace(complete, `"totalAmount": 99.99,`, ``, 1)
	for _, c := range []struct {
		ready  bool
		body   string
		status int
		want   string
	}{
		{true, ``, http.StatusOK, "choreographed"},
		{true, `{}`, http.StatusOK, "choreographed"},
		{true, `{"saga": "orchestrated"}`, http.StatusOK, "orchestrated"},
		{true, `{"saga": "choreographed", "confirmWithinSeconds": 9}`, http.StatusOK, "choreographed"},
		{true, `{"saga": "improvised"}`, http.StatusUnprocessableEntity, ""},
		{false, `{"saga": "orchestrated"}`, http.StatusConflict, ""},
		{false, ``, http.StatusOK, "choreographed"},
	} {
		f.open(c.ready)
		d := f.do("POST", "/orders", complete)
		if d.Status != http.StatusCreated || d.Body["saga"] != nil {
			t.Fatalf("a draft: %d %s", d.Status, d.Text)
		}
		id := d.Body["orderId"].(string)
		a := f.do("POST", "/orders/"+id+"/place", c.body, "If-Match", "*")
		if saga, _ := a.Body["saga"].(string); a.Status != c.status || saga != c.want {
			t.Errorf("%s, ready %v: %d %s, want %d and %s", c.body, c.ready, a.Status, a.Text, c.status, c.want)
		}
		if c.status == http.StatusConflict {
			if got := f.do("GET", "/orders/"+id, ""); got.Body["status"] != "DRAFT" {
				t.Errorf("refused, and now: %s", got.Text)
			}
		}
	}
}

// TestRampOverHTTP: the percentage is set and read, and refused behind the closed gate.
func TestRampOverHTTP(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.open(false)
	for _, c := range []struct {
		ready   bool
		body    string
		status  int
		percent string // afterwards
	}{
		{false, `{"orchestratedPercent": 0}`, http.StatusOK, "0"},
		{false, `{"orchestratedPercent": 1}`, http.StatusConflict, "0"},
		{true, `{"orchestratedPercent": 30}`, http.StatusOK, "30"},
		{true, `{"orchestratedPercent": 100}`, http.StatusOK, "100"},
		{true, `{"orchestratedPercent": 101}`, http.StatusUnprocessableEntity, "100"},
		{true, `{"orchestratedPercent": -1}`, http.StatusUnprocessableEntity, "100"},
		{true, `{"orchestratedPercent": 1.5}`, http.StatusUnprocessableEntity, "100"},
		{true, `{"orchestratedPercent": "7"}`, http.StatusUnprocessableEntity, "100"},
		{true, `{}`, http.StatusUnprocessableEntity, "100"},
		{true, `{"orchestratedPercent": 7, "ready": true}`, http.StatusUnprocessableEntity, "100"},
		{false, `{"orchestratedPercent": 50}`, http.StatusConflict, "100"},
		{false, `{"orchestratedPercent": 0}`, http.StatusOK, "0"},
	} {
		f.open(c.ready)
		a := f.do("PUT", "/sagas/style", c.body)
		if a.Status != c.status {
			t.Errorf("%s, ready %v: %d %s, want %d", c.body, c.ready, a.Status, a.Text, c.status)
		}
		if c.status == http.StatusConflict && a.Body["detail"] != "shipping is old" {
			t.Errorf("%s: %s", c.body, a.Text)
		}
		got := f.do("GET", "/sagas/style", "")
		reason := any(nil)
		if !c.ready {
			reason = "shipping is old"
		}
		if got.Status != http.StatusOK || got.Body["orchestratedPercent"] != json.Number(c.percent) || got.Body["ready"] != c.ready ||
			got.Body["reason"] != reason || got.Body["updatedAt"] == nil {
			t.Errorf("after %s: %d %s", c.body, got.Status, got.Text)
		}
		if c.status == http.StatusOK && a.Text != got.Text {
			t.Errorf("PUT answers %s, GET %s", a.Text, got.Text)
		}
	}
}
