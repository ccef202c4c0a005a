package test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

// testSignIn signs in with a token on a page that needs it, sees one's own groups and no
// others, and signs out.
func testSignIn(t *testing.T, browser context.Context) {
	_, auth := security.block(t, "file", "auth.yml")
	file := filepath.Join(t.TempDir(), "auth.yml")
	writeFile(t, file, []byte(auth))
	p := start(t, "--auth.file="+file, "--web.enable-admin-api")
	for _, team := range []string{"checkout", "billing"} {
		p.push(t, "PUT", "/metrics/job/nightly-"+team+"/team/"+team, "m 1\n", "Authorization", "Bearer pgw_example_"+team)
	}
	b := open(t, browser, p.URL, "/?search=nightly")
	b.want("Sign in", "this needs the right read")
	b.axe("sign in")
	if name := os.Getenv("SIGN_IN_PICTURE"); name != "" {
		var picture []byte
		b.run(chromedp.FullScreenshot(&picture, 100))
		writeFile(t, name, picture)
	}
	b.run(chromedp.SendKeys(`input[name="token"]`, "pgw_example_wrong", chromedp.ByQuery))
	b.clickTo("form.signin button")
	b.want("the token is not valid")
	b.run(chromedp.SendKeys(`input[name="token"]`, "pgw_example_checkout", chromedp.ByQuery))
	b.clickTo("form.signin button")
	b.want("nightly-checkout", "1 group")
	b.await("the page says who one is", `document.body.innerText.includes("Signed in as checkout")`)
	if got := b.address(); got != "/?search=nightly" {
		t.Errorf("signing in leads to %q", got)
	}
	if len(b.rows()) != 1 {
		t.Errorf("rows %q", b.rows())
	}
	b.visit("/groups/job/nightly-billing/team/billing")
	b.want("No such group")
	b.visit("/groups/job/nightly-checkout/team/checkout")
	b.clickTo(".title a.danger")
	b.clickTo(".confirm button")
	b.want("1 group deleted.")
	b.clickTo(".visitor button")
	b.want("Sign in")
	b.visit("/")
	b.want("this needs the right read")
}
