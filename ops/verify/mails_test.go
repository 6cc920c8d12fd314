package verify

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/postgres"
)

// TestTheMailboxIsReadToItsEnd: page by page, whatever the size of a page.
func TestTheMailboxIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		after := r.URL.Query().Get("after")
		next, known := map[string]string{"0": "4", "4": "9"}[after]
		if r.URL.Path != "/v1/mails" || !known {
			fmt.Fprint(w, `{"mails":[],"count":2}`)
			return
		}
		fmt.Fprintf(w, `{"mails":[{"seq":%s,"orderId":"o-%s","text":"hello"}],"count":2}`, next, after)
	}))
	t.Cleanup(server.Close)
	got, err := mailbox(t.Context(), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"o-0", "o-4"}, got); diff != "" {
		t.Errorf("orders (-want +got):\n%s", diff)
	}
	server.Close()
	if _, err := mailbox(t.Context(), server.URL); len(parts(err)) != 1 {
		t.Errorf("a mailbox that is away: %v", err)
	}
}

// TestMailRows reads the service's own tables.
func TestMailRows(t *testing.T) {
	t.Parallel()
	c := connect(t, postgres.Component{Name: mailer, FS: os.DirFS("../../services/notification/migrations")})
	if _, err := c.Exec(t.Context(), `INSERT INTO mails (order_id, state, correlation_id, created_at, updated_at, ended_at)
		VALUES ('o-1', 'AWAITING_ORDER_PLACED', '', now(), now(), NULL), ('o-2', 'REFUSED', '', now(), now(), now())`); err != nil {
		t.Fatal(err)
	}
	rows, since, err := mailRows(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Mail{{"o-1", "AWAITING_ORDER_PLACED"}, {"o-2", "REFUSED"}}, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if ago := time.Since(since); ago < 9*time.Minute || ago > 2*time.Hour {
		t.Errorf("since %s ago", ago)
	}
}
