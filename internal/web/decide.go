package web

import (
	"fmt"
	"net/http"

	"pushgateway/internal/access"
)

// String describes what the need asks of the sender of a request.
func (n need) String() string {
	switch n {
	case free:
		return "no right"
	case pushGroup:
		return "the right push for the group"
	case pushEach:
		return "the right push, and for each group in the body; other groups are rejected"
	case deleteGroup:
		return "the right delete for the group"
	case deleteEach:
		return "the right delete; groups that the user's match does not select stay"
	case scrape:
		return "the right scrape"
	case read:
		return "the right read; groups that the user's match does not select are not shown"
	case readDeleteEach:
		return "the rights read and delete; groups that the user's match does not select are not shown and stay"
	case admin:
		return "the right admin"
	}
	return "a decision that nobody has made"
}

// A Decision says whether a request would be allowed, and why.
type Decision struct {
	Allowed bool
	Status  int    // 401 or 403 if it is not allowed
	Needs   string // what the request needs
	Reason  string
}

// Decide returns whether the principal may send a request, and why. It looks at rights
// only: the request may be rejected for other reasons. It returns an error if no route
// serves the request.
func (s *Server) Decide(p *access.Principal, method, target string) (Decision, error) {
	httpRequest, err := http.NewRequest(method, target, nil)
	if err != nil {
		return Decision{}, err
	}
	r := s.newRequest(httpRequest)
	r.principal = p
	row := s.routes.find(r.path)[method]
	if row == nil {
		return Decision{}, fmt.Errorf("the gateway serves no %s %s", method, target)
	}
	d := Decision{Allowed: true, Needs: row.needs.String()}
	if row.needs == free {
		d.Reason = "everybody may"
	} else if err := s.check(row.needs, r); err != nil {
		d.Allowed, d.Status, d.Reason = false, statusOf(err), err.Error()
	} else {
		d.Reason = fmt.Sprintf("%s may %s", p.Name(), p.Describe())
	}
	return d, nil
}
