// What the page says, in English and Chinese: the browser's languages choose. Errors of the server are
// for programmers, and English.

const WORDS = {
  en: {
    login_title: "Log in as a device",
    name: "Name of this device",
    token: "Token",
    more: "Group and server",
    group: "Group, if any",
    server: "Server",
    login: "Log in",
    kept_here: "Name, token and messages stay in this browser until you log out.",
    logout: "Log out",
    now: "Try now",
    auto: "Acknowledge by itself",
    clear: "Clear the list",
    notify: "Notify me while this page is closed",
    none: "Nothing yet.",
    inbox: "Messages for {name}",
    idle: "Not logged in",
    connecting: "Connecting …",
    online: "Logged in",
    waiting: "{reason}; next try in {seconds} s",
    refused: "Refused: {reason}",
    unreachable: "No connection",
    taken: "Another login as this device took over",
    silent: "The server does not answer",
    bad_server: "This is no WebSocket address that this page may use",
    acknowledge: "Acknowledge",
    acknowledge_it: "Acknowledge: {title}",
    acknowledged: "acknowledged",
    remove: "Remove",
    remove_it: "Remove: {title}",
    open: "Open",
    open_it: "Open the link of: {title}",
    untitled: "Without a title",
    priority: "Priority {priority}",
    from: "from {name}",
    notified: "This device is notified while the page is closed.",
    not_notified: "The browser does not allow notifications.",
    not_kept: "This browser keeps nothing: messages are not acknowledged.",
  },
  zh: {
    login_title: "以设备身份登录",
    name: "设备名称",
    token: "令牌",
    more: "分组与服务器",
    group: "分组（可不填）",
    server: "服务器",
    login: "登录",
    kept_here: "名称、令牌和消息会保存在此浏览器中，退出登录时清除。",
    logout: "退出登录",
    now: "立即重试",
    auto: "自动确认",
    clear: "清空列表",
    notify: "页面关闭后也通知我",
    none: "还没有消息。",
    inbox: "{name} 的消息",
    idle: "未登录",
    connecting: "正在连接…",
    online: "已登录",
    waiting: "{reason}；{seconds} 秒后重试",
    refused: "被拒绝：{reason}",
    unreachable: "无法连接",
    taken: "该设备已在别处登录",
    silent: "服务器没有响应",
    bad_server: "这不是本页可以使用的 WebSocket 地址",
    acknowledge: "确认",
    acknowledge_it: "确认：{title}",
    acknowledged: "已确认",
    remove: "移除",
    remove_it: "移除：{title}",
    open: "打开",
    open_it: "打开链接：{title}",
    untitled: "无标题",
    priority: "优先级 {priority}",
    from: "来自 {name}",
    notified: "页面关闭后，此设备仍会收到通知。",
    not_notified: "浏览器不允许通知。",
    not_kept: "此浏览器无法保存消息，因此不会确认。",
  },
};

export const language = navigator.languages.find((each) => /^(en|zh)\b/.test(each))?.slice(0, 2) ?? "en";

/** A text with its parts: say("inbox", { name: "phone" }). */
export function say(word, parts = {}) {
  return WORDS[language][word].replace(/\{(\w+)\}/g, (_, name) => parts[name] ?? "");
}

/** Every element with data-word. */
export function sayAll(root) {
  document.documentElement.lang = language;
  for (const element of root.querySelectorAll("[data-word]")) element.textContent = say(element.dataset.word);
}
