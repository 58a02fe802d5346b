// Opens GraphiQL at an alpha's /admin as a user does: runs the backup of the
// examples, then asks for the tasks until it has ended. Everything that the page
// wants from another host, and every error it reports, is printed and fails it.
//
//   node graphiql.cjs ALPHA DESTINATION CHROMIUM NODE_MODULES
"use strict";

const [alpha, destination, executablePath, modules] = process.argv.slice(2);
const { chromium } = require(modules + "/playwright-core");
const patience = 60_000; // for anything that has to come; a busy machine is slow

async function main() {
	const browser = await chromium.launch({
		executablePath,
		timeout: patience,
		args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
			"--disable-component-update", "--no-first-run", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"],
	});
	try {
		const page = await browser.newPage();
		page.setDefaultTimeout(patience);
		const problems = [];
		page.on("pageerror", (error) => problems.push("error in the page: " + error));
		page.on("console", (message) => message.type() === "error" && problems.push("console: " + message.text()));
		page.on("requestfailed", (request) => problems.push("failed: " + request.url() + " " + request.failure().errorText));
		await page.route("**/*", (route) => {
			const url = route.request().url();
			if (url.startsWith(alpha + "/") || url.startsWith("data:")) {
				return route.continue();
			}
			problems.push("wants another host: " + url);
			return route.abort();
		});
		await use(page);
		if (problems.length > 0) {
			throw new Error(problems.join("\n"));
		}
	} finally {
		await browser.close();
	}
}

async function use(page) {
	await page.goto(alpha + "/admin");
	const editor = page.locator(".graphiql-query-editor .CodeMirror");
	const result = page.locator(".result-window .CodeMirror");
	const run = page.locator(".graphiql-execute-button");
	const text = (of) => of.evaluate((element) => element.CodeMirror.getValue());

	await editor.waitFor();
	const first = await text(editor);
	if (!first.includes("mutation Backup")) {
		throw new Error("the first example is no backup:\n" + first);
	}
	await editor.evaluate((element, to) => {
		const mirror = element.CodeMirror;
		mirror.setValue(mirror.getValue().replace(/destination: "[^"]*"/, "destination: " + JSON.stringify(to)));
	}, destination);
	await run.click();
	await wait("the backup is queued", async () => /"code": "Success"/.test(await text(result)));

	await page.getByRole("tab", { name: "Tasks" }).click();
	await wait("the example of tasks is shown", async () => (await text(editor)).includes("query Tasks"));
	await wait("the task ends", async () => {
		await run.click();
		const answered = await text(result);
		if (/"status": "(Failed|Canceled)"/.test(answered)) {
			throw new Error("the backup failed:\n" + answered);
		}
		return /"status": "Success"/.test(answered);
	});
	// The schema has come too: without introspection there is no documentation.
	await page.getByRole("button", { name: "Show Documentation Explorer" }).click();
	await page.locator(".graphiql-doc-explorer").getByText("Mutation", { exact: true }).click();
	await page.locator(".graphiql-doc-explorer").getByText("cancelTask").first().waitFor();
}

// wait asks until the answer is true, with pauses in which the page can work.
async function wait(what, done) {
	for (const begin = Date.now(); !(await done()); ) {
		if (Date.now() - begin > patience) {
			throw new Error("it does not come to it that " + what);
		}
		await new Promise((resolve) => setTimeout(resolve, 100));
	}
}

main().catch((error) => {
	console.error(error);
	process.exitCode = 1;
});
