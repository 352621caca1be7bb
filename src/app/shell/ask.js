// Runs before anything is drawn. Copies the session from another tab of this browser, if there is one, and then hides the
// logged-out page. `asked` settles once this is known. Without a response within 100 ms the page is logged out.
var asked = new Promise((resolve) => {
  const hide = () => (document.documentElement.dataset.session = "stored");
  try {
    if (sessionStorage.getItem(key)) return resolve(hide());
    const channel = new BroadcastChannel(key);
    const end = () => resolve(channel.close());
    channel.onmessage = ({ data }) => {
      if (data[0] !== "have") return;
      sessionStorage.setItem(key, JSON.stringify(data[1]));
      end(hide());
    };
    channel.postMessage(["ask"]);
    setTimeout(end, 100);
  } catch {
    resolve();
  }
});
