package connect

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestAnswersOfASettlingGroup lists answers of a worker whose group is between two states: such a
// request is repeated, every other error is returned at once.
func TestAnswersOfASettlingGroup(t *testing.T) {
	for _, c := range []struct {
		status  int
		message string
		repeat  bool
		says    string // where it is not repeated
	}{
		{http.StatusConflict, "Cannot complete request momentarily due to stale configuration (typically caused by a concurrent config change)", true, ""},
		{http.StatusConflict, "Connector outbox-order already exists", false, "exists already"},
		{http.StatusInternalServerError, `Cannot invoke "java.lang.Integer.intValue()" because the return value of "org.apache.kafka.connect.storage.ClusterConfigState.taskConfigGeneration(String)" is null`, false, "resume it once"},
		{http.StatusInternalServerError, "Request timed out. The worker is currently flushing updates", false, "Request timed out"},
		{http.StatusBadRequest, "Connector configuration is invalid", false, "is invalid"},
	} {
		t.Run(fmt.Sprint(c.status, " ", c.message[:20]), func(t *testing.T) {
			t.Parallel()
			asked := 0
			worker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if asked++; asked > 1 {
					w.WriteHeader(http.StatusNoContent)
					return
				}
				w.WriteHeader(c.status)
				fmt.Fprintf(w, `{"error_code": %d, "message": %q}`, c.status, c.message)
			}))
			t.Cleanup(worker.Close)
			err := NewClient(worker.URL).Delete(t.Context(), "outbox-order")
			if c.repeat && (err != nil || asked != 2) {
				t.Errorf("asked %d times, then: %v", asked, err)
			}
			if !c.repeat && (asked != 1 || err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("asked %d times, then: %v; want %q at once", asked, err, c.says)
			}
		})
	}
}

// TestHalt: a connector that runs is stopped. One that is stopped, or has no status yet, is deleted,
// because Kafka Connect could not change its offsets after a second stop.
func TestHalt(t *testing.T) {
	for name, c := range map[string]struct {
		status string // "": there is none
		exists bool
		wrote  string
	}{
		"runs":    {`{"connector":{"state":"RUNNING"},"tasks":[{"state":"RUNNING"}]}`, true, "PUT /connectors/outbox-order/stop"},
		"failed":  {`{"connector":{"state":"RUNNING"},"tasks":[{"state":"FAILED","trace":"x"}]}`, true, "PUT /connectors/outbox-order/stop"},
		"stopped": {`{"connector":{"state":"STOPPED"},"tasks":[]}`, false, "DELETE /connectors/outbox-order"},
		"unknown": {"", false, "DELETE /connectors/outbox-order"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var wrote []string
			worker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method != http.MethodGet:
					wrote = append(wrote, r.Method+" "+r.URL.Path)
					w.WriteHeader(http.StatusNoContent)
				case len(wrote) > 0:
					fmt.Fprint(w, `{"connector":{"state":"STOPPED"},"tasks":[]}`)
				case c.status == "":
					w.WriteHeader(http.StatusNotFound)
				default:
					fmt.Fprint(w, c.status)
				}
			}))
			t.Cleanup(worker.Close)
			exists, err := NewClient(worker.URL).Halt(t.Context(), "outbox-order")
			if err != nil || exists != c.exists || strings.Join(wrote, ", ") != c.wrote {
				t.Errorf("exists %t, %v, sent %s; want %t and %s", exists, err, wrote, c.exists, c.wrote)
			}
		})
	}
}
