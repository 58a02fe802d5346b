"use strict";

(() => {
	// GraphiQL's dialogs insert a <style> element and look here for its nonce.
	window.__webpack_nonce__ = document.currentScript.nonce;

	const config = JSON.parse(document.getElementById("config").textContent);

	// Drafts may hold storage credentials: they live as long as the browser tab,
	// not longer, and each endpoint has its own.
	const prefix = config.endpoint + " ";
	const ownKeys = () => Object.keys(sessionStorage).filter((key) => key.startsWith(prefix));
	const storage = {
		getItem: (key) => sessionStorage.getItem(prefix + key),
		setItem: (key, value) => sessionStorage.setItem(prefix + key, value),
		removeItem: (key) => sessionStorage.removeItem(prefix + key),
		clear: () => ownKeys().forEach((key) => sessionStorage.removeItem(key)),
		get length() {
			return ownKeys().length;
		},
	};

	const root = ReactDOM.createRoot(document.getElementById("graphiql"));
	root.render(
		React.createElement(GraphiQL, {
			fetcher: GraphiQL.createFetcher({ url: config.endpoint }),
			defaultTabs: config.examples,
			plugins: [GraphiQLPluginExplorer.explorerPlugin()],
			isHeadersEditorEnabled: true,
			showPersistHeadersSettings: false,
			shouldPersistHeaders: false,
			storage,
		}),
	);
})();
